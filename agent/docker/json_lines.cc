#include "agent/docker/json_lines.h"

#include <array>
#include <span>

#include "agent/base/error.h"
#include "agent/base/text.h"

namespace prebake::docker {

std::optional<std::string> JsonLines::next() {
    std::array<char, 16384> buffer;
    for (;;) {
        const std::size_t end = text_.find('\n', looked_);
        if (end != std::string::npos) {
            std::string line(trimmed(std::string_view(text_).substr(begin_, end - begin_)));
            begin_ = looked_ = end + 1;
            if (!line.empty()) return line;
            continue;
        }
        text_.erase(0, begin_);
        begin_ = 0;
        looked_ = text_.size();
        if (text_.size() > kMaxLineBytes) {
            throw Error(Errc::too_large, "dockerd sends a line over 1 MiB",
                        "check that dockerd listens there, and not another program");
        }
        const std::size_t got = response_.read_some(std::as_writable_bytes(std::span(buffer)));
        if (got == 0) break;
        text_.append(buffer.data(), got);
    }
    std::string last(trimmed(text_));
    text_.clear();
    looked_ = 0;
    if (last.empty()) return std::nullopt;
    return last;
}

}  // namespace prebake::docker
