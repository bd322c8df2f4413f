#include "agent/identity/items/lines.h"

#include <algorithm>
#include <utility>

#include "agent/base/text.h"
#include "agent/machine/root.h"

namespace prebake::identity {

std::vector<std::string_view> words_of(std::string_view line) {
    constexpr std::string_view kBlanks = " \t\r";
    line = line.substr(0, line.find('#'));
    std::vector<std::string_view> words;
    for (std::size_t begin = line.find_first_not_of(kBlanks); begin != std::string_view::npos;) {
        const std::size_t end = std::min(line.find_first_of(kBlanks, begin), line.size());
        words.push_back(line.substr(begin, end - begin));
        begin = line.find_first_not_of(kBlanks, end);
    }
    return words;
}

std::optional<std::string> without_lines(std::string_view text, const MustGo& must_go) {
    std::string rest;
    bool any = false;
    for (const std::string_view line : lines_of(text)) {
        if (must_go(line)) {
            any = true;
        } else {
            rest.append(line).append("\n");
        }
    }
    if (!any) return std::nullopt;
    return rest;
}

void strip_lines(const machine::Root& root, std::string_view pattern, const MustGo& must_go,
                 Changes& changes) {
    for (const std::string& path : root.match(pattern)) {
        const std::optional<std::string> text = read_regular(root, path);
        if (!text) continue;
        if (std::optional<std::string> rest = without_lines(*text, must_go))
            changes.push_back({Change::Kind::write, path, std::move(*rest)});
    }
}

std::optional<std::string> read_regular(const machine::Root& root, std::string_view path) {
    const std::optional<machine::FileInfo> info = root.info(path);
    if (!info || info->type != machine::FileType::regular) return std::nullopt;
    return root.read(path, kMaxTextBytes);
}

}  // namespace prebake::identity
