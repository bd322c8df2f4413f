#include "agent/identity/hosts_block.h"

#include <vector>

#include "agent/base/text.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kBegin = "# prebake: begin";
constexpr std::string_view kEnd = "# prebake: end";

void append(std::string& text, std::string_view line) {
    text.append(line).append("\n");
}

}  // namespace

std::string with_hosts_block(std::string_view text, std::string_view lines) {
    const std::vector<std::string_view> before = lines_of(text);
    std::string block;
    if (!lines.empty()) {
        append(block, kBegin);
        for (const std::string_view line : lines_of(lines)) append(block, line);
        append(block, kEnd);
    }
    std::string result;
    bool is_placed = false;
    for (std::size_t i = 0; i < before.size(); ++i) {
        if (trimmed(before[i]) != kBegin) {
            append(result, before[i]);
            continue;
        }
        std::size_t end = i + 1;
        while (end < before.size() && trimmed(before[end]) != kEnd) ++end;
        // Somebody took the end mark away: then only the beginning is certainly ours.
        if (end < before.size()) i = end;
        if (!is_placed) result += block;
        is_placed = true;
    }
    return is_placed ? result : result + block;
}

}  // namespace prebake::identity
