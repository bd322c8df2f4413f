#include <algorithm>
#include <bitset>
#include <string>

#include "agent/base/text.h"
#include "agent/identity/secrets/judges.h"

namespace prebake::identity::secrets {
namespace {

using std::size_t;
using std::string_view;

/// What judges return if it is not a secret.
constexpr string_view kNoSecret{};

bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

size_t skip_blanks(string_view text, size_t offset) {
    constexpr size_t kMost = 64;
    const size_t end = std::min(text.size(), offset + kMost);
    while (offset < end && is_blank(text[offset])) ++offset;
    return offset;
}

/// The offset after a quotation mark at `offset`, also if it is escaped for JSON in JSON; `offset`
/// if there is none.
size_t skip_quote(string_view text, size_t offset) {
    size_t mark = offset;
    while (byte_at(text, mark) == '\\' && mark < offset + 3) ++mark;
    return byte_at(text, mark) == '"' || byte_at(text, mark) == '\'' ? mark + 1 : offset;
}

bool is_in_comment(const Candidate& c) {
    const size_t from = c.begin - std::min(c.begin, kMaxLookBehind);
    const string_view before = c.text.substr(from, c.begin - from);
    const size_t newline = before.rfind('\n');
    if (newline == string_view::npos && from != 0) return false;
    const string_view line = before.substr(newline == string_view::npos ? 0 : newline + 1);
    const size_t first = line.find_first_not_of(" \t");
    if (first == string_view::npos) return false;
    if (c.traits.php && (line[first] == '*' || line.substr(first, 2) == "/*")) return true;
    // Not "//" alone: lines of .npmrc start with it.
    const string_view comment = c.traits.php ? "//" : "// ";
    return line[first] == '#' || line[first] == ';' || line.substr(first).starts_with(comment);
}

/// Longer values are judged by their first characters.
constexpr size_t kMaxValue = 256;

constexpr string_view kEndsOfWord(" \t\r\n\"',;\\\0", 9);
constexpr string_view kEndsOfQuotation("\r\n\"'\\\0", 6);

/// Like substr(0, find_first_of(ends)), whose time grows with `ends`.
string_view until(string_view text, string_view ends) {
    std::bitset<256> is_end;
    for (const char c : ends) is_end.set(static_cast<unsigned char>(c));
    size_t length = 0;
    while (length < text.size() && !is_end[static_cast<unsigned char>(text[length])]) ++length;
    return text.substr(0, length);
}

struct Assigned {
    bool name_is_quoted = false;
    char separator = '\0';  ///< '=' or ':'; NUL if it is not an assignment
    bool value_is_quoted = false;
    string_view value;  ///< at most kMaxValue bytes of it
};

/// What follows a name: `=value`, ` = "value"`, `": "value"`, `\": \"value\"`, ` = ["value"]`,
/// `' => 'value'`, `'] = 'value'`.
Assigned assigned_behind(string_view text, size_t offset) {
    Assigned result;
    const size_t unquoted = skip_quote(text, offset);
    result.name_is_quoted = unquoted != offset;
    offset = skip_blanks(text, unquoted);
    if (result.name_is_quoted && byte_at(text, offset) == ']')
        offset = skip_blanks(text, offset + 1);
    const char separator = byte_at(text, offset);
    if (separator != '=' && separator != ':') return result;
    const bool is_arrow = text.substr(offset, 2) == "=>";
    if (is_arrow) ++offset;
    const char next = byte_at(text, offset + 1);
    if (next == '=' || next == '~' || next == ':') return result;  // a comparison, a scope
    result.separator = separator;
    offset = skip_blanks(text, offset + 1);
    if (byte_at(text, offset) == '[') offset = skip_blanks(text, offset + 1);
    const size_t begin = skip_quote(text, offset);
    const string_view rest = text.substr(std::min(begin, text.size()), kMaxValue);
    result.value_is_quoted = begin != offset;
    result.value = begin == offset ? until(rest, kEndsOfWord) : until(rest, kEndsOfQuotation);
    if (is_arrow && !result.value_is_quoted) result.separator = '\0';  // code
    return result;
}

/// What PHP's define('NAME', 'value') gives to a name that ends with the needle.
Assigned defined_by(const Candidate& c) {
    constexpr string_view kDefine = "define";
    Assigned result;
    const size_t from = c.begin - std::min(c.begin, kMaxLookBehind);
    const string_view text = c.text.substr(0, c.begin);
    size_t begin = text.size();
    while (begin > from && is_of(Alphabet::word, text[begin - 1])) --begin;
    if (begin == from || (text[begin - 1] != '"' && text[begin - 1] != '\'')) return result;
    string_view before = trimmed(text.substr(from, begin - 1 - from));
    if (!before.ends_with('(')) return result;
    before.remove_suffix(1);
    if (!trimmed(before).ends_with(kDefine)) return result;
    size_t offset = skip_blanks(c.text, skip_quote(c.text, c.end));
    if (byte_at(c.text, offset) != ',') return result;
    offset = skip_blanks(c.text, offset + 1);
    const size_t value = skip_quote(c.text, offset);
    if (value == offset) return result;
    result.name_is_quoted = result.value_is_quoted = true;
    result.separator = '=';
    result.value =
        until(c.text.substr(std::min(value, c.text.size()), kMaxValue), kEndsOfQuotation);
    return result;
}

/// The beginnings of lines in [from, to), without comments, of which `has_secret` is true.
template <typename HasSecret>
std::vector<size_t> lines_with_secrets(string_view text, size_t from, size_t to,
                                       const HasSecret& has_secret) {
    std::vector<size_t> found;
    for (size_t begin = from; begin < to;) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        const string_view line = text.substr(begin, std::min(end - begin, kMaxValue));
        if (!line.starts_with('#') && has_secret(line)) found.push_back(begin);
        begin = end + 1;
    }
    return found;
}

/// "user:password" in base64.
bool is_basic_auth(string_view base64) {
    const std::string decoded = decode_base64(base64);
    const size_t colon = decoded.find(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == decoded.size()) return false;
    if (std::any_of(decoded.begin(), decoded.end(), [](char c) { return c >= 0 && c < ' '; })) {
        return false;
    }
    const string_view password = string_view(decoded).substr(colon + 1);
    return !is_placeholder(password) && !is_published(password);
}

}  // namespace

std::string_view judge_setting(const SecretRule& rule, const Candidate& c) {
    if (!c.traits.settings) return kNoSecret;
    Assigned assigned = assigned_behind(c.text, c.end);
    if (assigned.separator == '\0' && c.traits.php) assigned = defined_by(c);
    if (assigned.separator == '\0') return kNoSecret;
    if (c.traits.php && !assigned.value_is_quoted) return kNoSecret;
    if (assigned.separator == ':') {
        const bool is_json = assigned.name_is_quoted && assigned.value_is_quoted;
        if (!(c.traits.colons || is_json) || assigned.value.empty()) return kNoSecret;
        // YAML's tags, anchors, aliases and block scalars.
        if (string_view("!&*|>").find(assigned.value.front()) != string_view::npos)
            return kNoSecret;
    }
    return is_real(assigned.value) && !is_in_comment(c) ? rule.kind : kNoSecret;
}

std::string_view judge_json_member(const SecretRule& rule, const Candidate& c) {
    const Assigned assigned = assigned_behind(c.text, c.end);
    const bool is_member =
        assigned.name_is_quoted && assigned.separator == ':' && assigned.value_is_quoted;
    const bool is_secret = is_member && assigned.value.size() >= rule.at_least &&
                           is_varied(assigned.value) && is_real(assigned.value);
    return is_secret ? rule.kind : kNoSecret;
}

std::string_view judge_named_format(const SecretRule& rule, const Candidate& c) {
    const Assigned assigned = assigned_behind(c.text, c.end);
    const size_t length = run_length(assigned.value, 0, rule.alphabet, kMaxValue);
    const string_view value = assigned.value.substr(0, length);
    const bool is_secret = assigned.separator != '\0' && length >= rule.at_least &&
                           is_varied(value) && !is_placeholder(value);
    return is_secret ? rule.kind : kNoSecret;
}

std::string_view judge_aws_secret(const SecretRule& rule, const Candidate& c) {
    const Assigned assigned = assigned_behind(c.text, c.end);
    if (run_length(assigned.value, 0, rule.alphabet, kMaxValue) != rule.at_least) return kNoSecret;
    return judge_named_format(rule, c);
}

std::string_view judge_registry_auth(const SecretRule& rule, const Candidate& c) {
    const Assigned assigned = assigned_behind(c.text, c.end);
    if (assigned.separator == '\0' || assigned.value.size() < rule.at_least) return kNoSecret;
    const size_t length = run_length(assigned.value, 0, rule.alphabet, kMaxValue);
    return is_basic_auth(assigned.value.substr(0, length)) ? rule.kind : kNoSecret;
}

std::string_view judge_authorization(const SecretRule& rule, const Candidate& c) {
    size_t offset = skip_blanks(c.text, skip_quote(c.text, c.end));
    if (byte_at(c.text, offset) != ':' && byte_at(c.text, offset) != '=') return kNoSecret;
    offset = skip_blanks(c.text, offset + 1);
    if (byte_at(c.text, offset) == '[') offset = skip_blanks(c.text, offset + 1);
    offset = skip_quote(c.text, offset);
    const size_t word = run_length(c.text, offset, Alphabet::name, kMaxValue);
    const string_view scheme = c.text.substr(std::min(offset, c.text.size()), word);
    const bool has_scheme = is_blank(byte_at(c.text, offset + word));
    if (has_scheme) offset = skip_blanks(c.text, offset + word);
    const size_t length = run_length(c.text, offset, Alphabet::token, kMaxValue);
    const string_view value = c.text.substr(std::min(offset, c.text.size()), length);
    if (has_scheme && (scheme == "Basic" || scheme == "basic")) {
        return is_basic_auth(value) ? rule.kind : kNoSecret;
    }
    const bool is_secret =
        c.traits.settings && length >= rule.at_least && is_varied(value) && !is_placeholder(value);
    return is_secret ? rule.kind : kNoSecret;
}

std::string_view judge_netrc(const SecretRule& rule, const Candidate& c) {
    const bool begins_word = c.begin == 0 || !is_of(Alphabet::word, c.text[c.begin - 1]);
    if (!c.traits.netrc || !begins_word) return kNoSecret;
    size_t begin = c.end;
    while (begin < c.end + 64 &&
           (is_blank(byte_at(c.text, begin)) || byte_at(c.text, begin) == '\n')) {
        ++begin;
    }
    if (begin == c.end || begin >= c.text.size()) return kNoSecret;
    const string_view rest = c.text.substr(begin, kMaxValue);
    const string_view value = rest.substr(0, rest.find_first_of(" \t\r\n"));
    return is_real(value) && !is_in_comment(c) ? rule.kind : kNoSecret;
}

std::string_view judge_url(const SecretRule& rule, const Candidate& c) {
    if (!c.traits.settings) return kNoSecret;
    const bool has_scheme = c.begin > 0 && is_of(Alphabet::alphanumeric, c.text[c.begin - 1]);
    if (!has_scheme) return kNoSecret;
    constexpr size_t kMost = 256;
    const string_view rest = c.text.substr(c.end, kMost);
    const string_view authority =
        rest.substr(0, rest.find_first_of(" \t\r\n\"'`/<>{}[]()$|\\,?#*"));
    const size_t last = authority.rfind('@');
    const size_t colon = authority.find(':');
    if (last == string_view::npos || colon == string_view::npos || colon >= last) return kNoSecret;
    const string_view password = authority.substr(colon + 1, last - colon - 1);
    return password.empty() || is_placeholder(password) ? kNoSecret : rule.kind;
}

std::vector<std::size_t> passwords_in_pgpass(std::string_view text, std::size_t from,
                                             std::size_t to) {
    return lines_with_secrets(text, from, to, [](string_view line) {
        if (std::count(line.begin(), line.end(), ':') < 4) return false;
        const size_t password = line.rfind(':') + 1;
        return password < line.size() && !is_placeholder(trimmed(line.substr(password)));
    });
}

std::vector<std::size_t> keys_of_wireguard(std::string_view text, std::size_t from,
                                           std::size_t to) {
    return lines_with_secrets(text, from, to, [](string_view line) {
        constexpr size_t kDigits = 43;  // 32 bytes
        line = trimmed(line);
        return line.size() == kDigits + 1 && line.back() == '=' &&
               run_length(line, 0, Alphabet::base64, kDigits) == kDigits && is_varied(line);
    });
}

std::vector<std::size_t> cookie_of_erlang(std::string_view text, std::size_t from, std::size_t to) {
    if (from != 0 || to == 0) return {};
    const string_view cookie = trimmed(text.substr(0, std::min(text.find('\n'), kMaxValue)));
    return is_real(cookie) ? std::vector<size_t>{0} : std::vector<size_t>();
}

std::vector<std::size_t> keys_of_wazuh(std::string_view text, std::size_t from, std::size_t to) {
    return lines_with_secrets(text, from, to, [](string_view line) {
        constexpr size_t kDigits = 64;
        const size_t number = run_length(line, 0, Alphabet::alphanumeric, kMaxValue);
        line = trimmed(line);
        const string_view key = line.substr(line.rfind(' ') + 1);
        return number > 0 && std::count(line.begin(), line.end(), ' ') == 3 &&
               line.find_first_not_of("0123456789") == number && key.size() == kDigits &&
               key.find_first_not_of("0123456789abcdef") == string_view::npos && is_varied(key);
    });
}

std::vector<std::size_t> tokens_in_token_file(std::string_view text, std::size_t from,
                                              std::size_t to) {
    return lines_with_secrets(text, from, to, [](string_view line) {
        return std::count(line.begin(), line.end(), ',') >= 2 &&
               is_real(line.substr(0, line.find(',')));
    });
}

}  // namespace prebake::identity::secrets
