#include "agent/registry/challenge.h"

#include <algorithm>

#include "agent/base/ascii.h"

namespace prebake::registry {
namespace {

std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), to_lower);
    return result;
}

bool is_space(char c) {
    return c == ' ' || c == '\t';
}

/// Reads one header value from front to back.
class ChallengeReader {
  public:
    ChallengeReader(std::string_view text, std::vector<Challenge>& into)
        : text_(text), into_(into) {}

    void read_all() {
        bool after_comma = true;
        for (;;) {
            after_comma |= skip_separators();
            if (text_.empty()) return;
            if (text_.front() == '"' || text_.front() == '=') {
                text_.remove_prefix(1);  // malformed: continue after it
                continue;
            }
            read_item(after_comma);
            after_comma = false;
        }
    }

  private:
    /// A parameter, or the scheme of a new challenge, or a token68 (as in "Negotiate YII…==").
    void read_item(bool after_comma) {
        const std::string name = lower(
            take_while([](char c) { return !is_space(c) && c != ',' && c != '=' && c != '"'; }));
        take_while(is_space_char);
        if (!text_.empty() && text_.front() == '=') {
            text_.remove_prefix(1);
            take_while(is_space_char);
            const bool quoted = !text_.empty() && text_.front() == '"';
            std::string value = read_value();
            // "YII…==": the end of a token68, not a value.
            const bool padding = !quoted && value.find_first_not_of('=') == std::string::npos;
            if (challenge_open_ && !padding) {
                into_.back().parameters.try_emplace(name, std::move(value));
            }
        } else if (after_comma || !challenge_open_) {
            into_.push_back(Challenge{.scheme = name, .parameters = {}});
            challenge_open_ = true;
        } else if (!into_.back().parameters.empty()) {
            // A comma was forgotten between two challenges.
            into_.push_back(Challenge{.scheme = name, .parameters = {}});
        }
    }

    std::string read_value() {
        if (text_.empty() || text_.front() != '"') {
            return std::string(take_while([](char c) { return !is_space(c) && c != ','; }));
        }
        std::string value;
        for (text_.remove_prefix(1); !text_.empty(); text_.remove_prefix(1)) {
            if (text_.front() == '"') {
                text_.remove_prefix(1);
                break;
            }
            if (text_.front() == '\\' && text_.size() > 1) text_.remove_prefix(1);
            value.push_back(text_.front());
        }
        return value;
    }

    static bool is_space_char(char c) { return is_space(c); }

    /// True if a comma was among what it skipped.
    bool skip_separators() {
        return take_while([](char c) { return is_space(c) || c == ','; }).find(',') !=
               std::string_view::npos;
    }

    template <typename Predicate>
    std::string_view take_while(Predicate predicate) {
        const auto end = std::ranges::find_if_not(text_, predicate);
        const std::string_view taken =
            text_.substr(0, static_cast<std::size_t>(end - text_.begin()));
        text_.remove_prefix(taken.size());
        return taken;
    }

    std::string_view text_;
    std::vector<Challenge>& into_;
    bool challenge_open_ = false;
};

}  // namespace

std::string Challenge::parameter(std::string_view name) const {
    const auto found = parameters.find(std::string(name));
    return found == parameters.end() ? std::string() : found->second;
}

std::vector<Challenge> parse_challenges(const std::vector<std::string>& headers) {
    std::vector<Challenge> challenges;
    for (const std::string& header : headers) ChallengeReader(header, challenges).read_all();
    return challenges;
}

bool asks_for_authorization(int status, const std::vector<Challenge>& challenges) {
    const auto wants_scope = [](const Challenge& challenge) {
        return challenge.scheme == "bearer" && challenge.parameter("error") == "insufficient_scope";
    };
    return status == 401 || (status == 403 && std::ranges::any_of(challenges, wants_scope));
}

const Challenge* preferred_challenge(const std::vector<Challenge>& challenges) {
    const Challenge* basic = nullptr;
    for (const Challenge& challenge : challenges) {
        if (challenge.scheme == "bearer" && !challenge.parameter("realm").empty())
            return &challenge;
        if (challenge.scheme == "basic" && basic == nullptr) basic = &challenge;
    }
    return basic;
}

}  // namespace prebake::registry
