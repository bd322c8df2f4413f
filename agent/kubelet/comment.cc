#include "agent/kubelet/comment.h"

#include <algorithm>
#include <cstddef>

namespace prebake::kubelet {
namespace {

constexpr std::size_t kCommentColumns = 98;

}  // namespace

std::string comment_of(const std::string& text) {
    std::string comment;
    std::string line = "#";
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find(' ', begin), text.size());
        if (line.size() + 1 + end - begin > kCommentColumns && line.size() > 1) {
            comment += line + "\n";
            line = "#";
        }
        line += " " + text.substr(begin, end - begin);
        begin = end + 1;
    }
    return comment + line + "\n";
}

}  // namespace prebake::kubelet
