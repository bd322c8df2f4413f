#include "agent/registry/go_pattern.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <regex>

#include "agent/base/ascii.h"
#include "agent/base/error.h"

namespace prebake::registry {
namespace {

/// A regular expression that is longer may take too much stack.
constexpr std::size_t kMaxPatternBytes = 1000;
/// A replacement names groups with two digits.
constexpr std::size_t kMaxGroups = 99;

[[noreturn]] void refuse(std::string_view pattern, const std::string& what) {
    throw Error(
        Errc::usage,
        "rewrite has \"" + std::string(pattern) + "\", and prebake does not support " + what,
        "write it with groups, classes and repetitions; (?i) may begin it");
}

bool is_name(char c) {
    return is_alphanumeric(c) || c == '_';
}

/// Takes the pattern of Go apart, and writes that of ECMAScript.
class Translation {
  public:
    explicit Translation(std::string_view pattern) : pattern_(pattern), rest_(pattern) {
        if (pattern.size() > kMaxPatternBytes) {
            refuse(pattern.substr(0, 40),
                   "patterns beyond " + std::to_string(kMaxPatternBytes) + " bytes");
        }
        take_flags();
        while (!rest_.empty()) take_one();
        if (groups_ > kMaxGroups) refuse(pattern, "so many groups");
    }

    const std::string& text() const { return text_; }
    bool ignores_case() const { return ignores_case_; }

    /// What a replacement of Go is in ECMAScript: what is no group there is empty.
    std::string replacement(std::string_view given) const {
        std::string text;
        while (!given.empty()) {
            if (given.front() != '$') {
                text += given.front();
                given.remove_prefix(1);
                continue;
            }
            given.remove_prefix(1);
            if (given.starts_with('$')) {
                text += "$$";
                given.remove_prefix(1);
                continue;
            }
            const bool is_braced = given.starts_with('{');
            const std::string_view after = given.substr(is_braced ? 1 : 0);
            const auto* const end = std::find_if_not(after.begin(), after.end(), is_name);
            const auto length = static_cast<std::size_t>(end - after.begin());
            const bool is_closed = !is_braced || after.substr(length).starts_with('}');
            if (length == 0 || !is_closed) {
                text += "$$";
                continue;
            }
            text += group(after.substr(0, length));
            given = after.substr(length + (is_braced ? 1 : 0));
        }
        return text;
    }

  private:
    void take(std::size_t count) {
        text_ += rest_.substr(0, count);
        rest_.remove_prefix(count);
    }

    /// Repositories have one line, so that (?s) and (?m) change nothing.
    void take_flags() {
        const std::size_t end = rest_.find(')');
        if (!rest_.starts_with("(?") || end == std::string_view::npos) return;
        const std::string_view flags = rest_.substr(2, end - 2);
        if (flags.empty() || flags.find_first_not_of("ims") != std::string_view::npos) return;
        ignores_case_ = flags.find('i') != std::string_view::npos;
        rest_.remove_prefix(end + 1);
    }

    void take_one() {
        switch (rest_.front()) {
            case '\\':
                take_escape(false);
                break;
            case '[':
                take_class();
                break;
            case '(':
                take_group();
                break;
            default:
                take(1);
        }
    }

    void take_escape(bool is_in_class) {
        const char c = rest_.size() < 2 ? '\0' : rest_[1];
        if (!is_in_class && (c == 'A' || c == 'z')) {
            text_ += c == 'A' ? '^' : '$';
            rest_.remove_prefix(2);
            return;
        }
        const std::string_view shared = is_in_class ? "dDsSwWtnrfv" : "dDsSwWbBtnrfv";
        if (is_alphanumeric(c) && shared.find(c) == std::string_view::npos) {
            refuse(pattern_, "\"" + std::string(rest_.substr(0, 2)) + "\" in it");
        }
        take(std::min<std::size_t>(2, rest_.size()));
    }

    /// A ']' at its beginning belongs to it, and so does what looks like a group.
    void take_class() {
        take(rest_.starts_with("[^") ? 2 : 1);
        if (rest_.starts_with(']')) {
            text_ += '\\';
            take(1);
        }
        while (!rest_.empty() && rest_.front() != ']') {
            if (rest_.front() == '\\') {
                take_escape(true);
            } else if (rest_.starts_with("[:") && rest_.find(":]") != std::string_view::npos) {
                take(rest_.find(":]") + 2);
            } else {
                take(1);
            }
        }
        take(std::min<std::size_t>(1, rest_.size()));
    }

    void take_group() {
        const bool is_plain = !rest_.starts_with("(?");
        if (is_plain) ++groups_;
        if (is_plain || rest_.starts_with("(?:")) return take(is_plain ? 1 : 3);
        const std::string_view begin = rest_.starts_with("(?P<") ? "(?P<" : "(?<";
        const std::size_t end = rest_.find('>');
        const std::string_view name =
            rest_.substr(0, end).substr(std::min({begin.size(), end, rest_.size()}));
        const bool is_named = rest_.starts_with(begin) && end != std::string_view::npos;
        if (!is_named || name.empty() || !std::ranges::all_of(name, is_name)) {
            refuse(pattern_, "\"" + std::string(rest_.substr(0, 3)) + "\" in it");
        }
        text_ += '(';
        names_.emplace(name, ++groups_);
        rest_.remove_prefix(end + 1);
    }

    std::string group(std::string_view name) const {
        std::size_t number = 0;
        if (const auto named = names_.find(name); named != names_.end()) {
            number = named->second;
        } else if (name.size() > 2 || !std::ranges::all_of(name, is_digit)) {
            return {};
        } else {
            for (const char c : name) number = number * 10 + static_cast<std::size_t>(c - '0');
            if (number > groups_) return {};
            if (number == 0) return "$&";
        }
        return "$" + std::string(number < 10 ? "0" : "") + std::to_string(number);
    }

    std::string_view pattern_;
    std::string_view rest_;  ///< of the pattern, not read yet
    std::string text_;
    bool ignores_case_ = false;
    std::size_t groups_ = 0;
    std::map<std::string, std::size_t, std::less<>> names_;
};

}  // namespace

Rewrite rewrite_of_go(std::string_view pattern, std::string_view replacement) {
    const Translation translation(pattern);
    Rewrite rewrite{.pattern = translation.text(),
                    .replacement = translation.replacement(replacement),
                    .ignores_case = translation.ignores_case()};
    try {
        static_cast<void>(std::regex(rewrite.pattern));
    } catch (const std::regex_error& error) {
        refuse(pattern, std::string("it as a regular expression (") + error.what() + ")");
    }
    return rewrite;
}

}  // namespace prebake::registry
