#include "agent/oci/json_text.h"

#include <algorithm>
#include <functional>

#include "agent/base/ascii.h"

namespace prebake::oci {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
/// Of a member's name in a path. Real ones are shorter; a hostile one must not fill the terminal.
constexpr std::size_t kMaxNameBytes = 80;
/// A longer path gets no further step: each value of a document is walked with a copy of its path.
constexpr std::size_t kMaxPathBytes = 400;

/// Walks over the values of a JSON text in document order, and stops where it ends or is none.
class Walk {
  public:
    /// `visit` gets the path and the offset of each value.
    Walk(std::string_view text, std::function<void(const std::string&, std::size_t)> visit)
        : text_(text), visit_(std::move(visit)) {}

    void run() { value(""); }
    /// The value that was open when the walk stopped.
    const std::string& open() const { return open_; }

  private:
    /// False: stop.
    bool value(const std::string& path) {
        if (!skip_space()) return false;
        open_ = path;
        visit_(path, at_);
        switch (text_[at_]) {
            case '{':
                return members(path);
            case '[':
                return elements(path);
            case '"':
                return string();
            default:
                at_ = std::min(text_.find_first_of(" \t\r\n,]}", at_), text_.size());
                return at_ < text_.size();
        }
    }

    bool members(const std::string& path) {
        ++at_;
        for (bool is_first = true;; is_first = false) {
            if (!skip_space()) return false;
            if (text_[at_] == '}') break;
            if (!is_first && !(take(',') && skip_space())) return false;
            const std::size_t begin = at_ + 1;
            if (text_[at_] != '"' || !string()) return false;
            const std::string_view name = text_.substr(begin, at_ - 1 - begin);
            if (!skip_space() || !take(':') || !value(member_path(path, name))) return false;
            open_ = path;
        }
        ++at_;
        return true;
    }

    bool elements(const std::string& path) {
        ++at_;
        for (std::size_t position = 0;; ++position) {
            if (!skip_space()) return false;
            if (text_[at_] == ']') break;
            if (position > 0 && !take(',')) return false;
            if (!value(element_path(path, position))) return false;
            open_ = path;
        }
        ++at_;
        return true;
    }

    bool string() {
        for (++at_; at_ < text_.size(); ++at_) {
            if (text_[at_] == '\\') {
                ++at_;
            } else if (text_[at_] == '"') {
                ++at_;
                return true;
            }
        }
        return false;
    }

    bool take(char c) {
        if (text_[at_] != c) return false;
        ++at_;
        return true;
    }

    bool skip_space() {
        at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
        return at_ < text_.size();
    }

    std::string_view text_;
    std::function<void(const std::string&, std::size_t)> visit_;
    std::size_t at_ = 0;
    std::string open_;
};

/// True if `outer` is `path`, or names a value around it.
bool is_around(std::string_view outer, std::string_view path) {
    if (outer.empty() || outer == path) return true;
    return path.starts_with(outer) && (path[outer.size()] == '.' || path[outer.size()] == '[');
}

/// The code unit of the escape \uXXXX at `at`; nothing if there is none.
std::optional<unsigned> escape_at(std::string_view text, std::size_t at) {
    if (text.substr(at, 2) != "\\u" || text.size() < at + 6) return {};
    unsigned unit = 0;
    for (const char c : text.substr(at + 2, 4)) {
        if (!is_hex(c)) return {};
        const char digit = to_lower(c);
        unit = unit * 16 + static_cast<unsigned>(is_digit(digit) ? digit - '0' : digit - 'a' + 10);
    }
    return unit;
}

/// The length of the UTF-8 character at the begin of `text` (RFC 3629); 0 if there is none.
std::size_t character_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return 0;
    }
    // Longer than necessary, half of a surrogate pair, or beyond the last character.
    const unsigned second = byte(1);
    const bool is_refused = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                            (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
    return is_refused ? 0 : length;
}

}  // namespace

std::string member_path(std::string_view object, std::string_view name) {
    std::string path(object);
    if (path.size() > kMaxPathBytes) return path;
    if (!path.empty()) path += '.';
    path += name.substr(0, kMaxNameBytes);
    return path;
}

std::string element_path(std::string_view list, std::size_t position) {
    if (list.size() > kMaxPathBytes) return std::string(list);
    return std::string(list).append("[").append(std::to_string(position)).append("]");
}

std::string line_and_column(std::string_view text, std::size_t offset) {
    const std::string_view before = text.substr(0, offset);
    const auto lines = std::count(before.begin(), before.end(), '\n');
    const std::size_t feed = before.rfind('\n');
    const std::string_view line = before.substr(feed == std::string_view::npos ? 0 : feed + 1);
    const auto characters = std::count_if(line.begin(), line.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    });
    return "line " + std::to_string(lines + 1) + ", column " + std::to_string(characters + 1);
}

std::string path_at(std::string_view text, std::size_t offset) {
    Walk walk(text.substr(0, offset), [](const std::string&, std::size_t) {});
    walk.run();
    return walk.open();
}

std::size_t offset_of(std::string_view text, std::string_view path) {
    std::string best;
    std::size_t found = 0;
    Walk(text, [&](const std::string& visited, std::size_t offset) {
        // Of equal ones the last, which is the one that counts.
        if (visited.size() < best.size() || !is_around(visited, path)) return;
        best = visited;
        found = offset;
    }).run();
    return found;
}

std::optional<std::string> without_lone_surrogates(std::string_view text) {
    std::optional<std::string> repaired;
    for (std::size_t at = text.find('\\'); at < text.size(); at = text.find('\\', at)) {
        const std::optional<unsigned> unit = escape_at(text, at);
        if (!unit) {
            at += 2;
            continue;
        }
        const auto next = escape_at(text, at + 6);
        const bool is_high = *unit >= 0xd800 && *unit < 0xdc00;
        const bool is_pair = is_high && next && *next >= 0xdc00 && *next < 0xe000;
        if (!is_pair && *unit >= 0xd800 && *unit < 0xe000) {
            if (!repaired) repaired.emplace(text);
            repaired->replace(at, 6, "\\ufffd");
        }
        at += is_pair ? 12 : 6;
    }
    return repaired;
}

std::string valid_utf8(std::string_view text) {
    std::string valid;
    valid.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = character_length(text);
        valid.append(length == 0 ? kReplacement : text.substr(0, length));
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return valid;
}

}  // namespace prebake::oci
