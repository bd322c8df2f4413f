#include "agent/registry/secrets.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "agent/base/ascii.h"
#include "agent/base/base64.h"
#include "agent/base/text.h"
#include "agent/http/url.h"

namespace prebake::registry {
namespace {

// What was sent

/// What follows the first `separator`; empty without one.
std::string_view after(std::string_view text, char separator) {
    const std::size_t at = text.find(separator);
    return at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
}

void add_authorization(std::string_view value, std::vector<std::string>& secrets) {
    const std::string_view credentials = trimmed(after(value, ' '));
    secrets.emplace_back(credentials.empty() ? value : credentials);
    if (!lower_case(value).starts_with("basic ")) return;
    const auto pair = base64_decode(credentials);
    if (!pair) return;
    // Some repeat it without its padding.
    secrets.emplace_back(credentials.substr(0, credentials.find_last_not_of('=') + 1));
    secrets.push_back(*pair);
    secrets.emplace_back(after(*pair, ':'));
}

void add_form(std::string_view form, std::vector<std::string>& secrets) {
    while (!form.empty()) {
        const std::string_view field = form.substr(0, form.find('&'));
        form.remove_prefix(std::min(field.size() + 1, form.size()));
        const std::string_view name = field.substr(0, field.find('='));
        if (name != "password" && name != "refresh_token") continue;
        if (const auto value = http::percent_decode(after(field, '='))) secrets.push_back(*value);
    }
}

void add_url(const std::string& text, std::vector<std::string>& secrets) {
    const http::Url url = http::parse_url(text);
    if (url.user) secrets.emplace_back(after(*url.user, ':'));
    secrets.emplace_back(after(url.target, '?'));
}

/// Those that prebake itself writes. Others are from a hosts.toml.
bool is_public(std::string_view header) {
    const std::string name = lower_case(header);
    return name == "accept" || name == "range" || name == "content-type";
}

// What came back

/// The first character of a text, and how many bytes of the text stand for it.
struct Character {
    std::string bytes;
    std::size_t length;
};

using Encoding = std::optional<Character> (*)(std::string_view text);

std::optional<Character> unencoded(std::string_view) {
    return std::nullopt;
}

std::optional<Character> percent_encoded(std::string_view text) {
    constexpr std::size_t kLength = 3;
    if (text.front() != '%' || text.size() < kLength) return std::nullopt;
    auto byte = http::percent_decode(text.substr(0, kLength));
    if (!byte) return std::nullopt;
    return Character{.bytes = *std::move(byte), .length = kLength};
}

std::optional<Character> form_encoded(std::string_view text) {
    if (text.front() == '+') return Character{.bytes = " ", .length = 1};
    return percent_encoded(text);
}

std::optional<Character> escaped_in_json(std::string_view text) {
    if (text.front() != '\\') return std::nullopt;
    // "\n", "\u00fc", "\ud83d\ude00"
    const bool is_numbered = text.substr(1).starts_with('u');
    for (const std::size_t length : {12UL, 6UL, 2UL}) {
        if (is_numbered != (length > 2) || text.size() < length) continue;
        if (length == 12 && !text.substr(6).starts_with("\\u")) continue;
        boost::system::error_code failure;
        const auto value =
            boost::json::parse("\"" + std::string(text.substr(0, length)) + "\"", failure);
        if (failure) continue;
        return Character{.bytes = std::string(std::string_view(value.as_string())),
                         .length = length};
    }
    return std::nullopt;
}

/// "&#43;", "&#x2b;": nothing for those that are not ASCII, which nobody has to escape.
std::optional<char> numbered(std::string_view reference) {
    const bool is_hexadecimal = lower_case(reference).starts_with("#x");
    reference.remove_prefix(is_hexadecimal ? 2 : 1);
    std::uint8_t number = 0;
    const char* const last = reference.data() + reference.size();
    const auto [end, failure] =
        std::from_chars(reference.data(), last, number, is_hexadecimal ? 16 : 10);
    const bool is_ascii = failure == std::errc{} && end == last && number < 0x80;
    return is_ascii ? std::optional(static_cast<char>(number)) : std::nullopt;
}

std::optional<Character> escaped_in_markup(std::string_view text) {
    constexpr std::size_t kLongest = 8;
    constexpr std::array<std::pair<std::string_view, char>, 5> kNamed{
        {{"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}, {"amp", '&'}}};
    const std::size_t end = text.substr(0, kLongest).find(';');
    if (text.front() != '&' || end == std::string_view::npos) return std::nullopt;
    const std::string_view reference = text.substr(1, end - 1);
    std::optional<char> character;
    if (reference.starts_with('#')) character = numbered(reference);
    for (const auto& [name, meant] : kNamed) {
        if (reference == name) character = meant;
    }
    if (!character) return std::nullopt;
    return Character{.bytes = std::string(1, *character), .length = end + 1};
}

/// A text without one encoding, and where each of its bytes was.
struct Decoded {
    std::string bytes;
    std::vector<std::size_t> begins;
    std::vector<std::size_t> ends;
};

Decoded decoded(std::string_view text, Encoding encoding) {
    Decoded result;
    for (std::size_t at = 0; at < text.size();) {
        const std::string_view rest = text.substr(at);
        const Character character = encoding(rest).value_or(
            Character{.bytes = std::string(rest.substr(0, 1)), .length = 1});
        for (const char c : character.bytes) {
            const char plain = is_white_space(c) ? ' ' : c;
            if (plain == ' ' && result.bytes.ends_with(' ')) {
                result.ends.back() = at + character.length;
                continue;
            }
            result.bytes += plain;
            result.begins.push_back(at);
            result.ends.push_back(at + character.length);
        }
        at += character.length;
    }
    return result;
}

}  // namespace

std::vector<std::string> secrets_in(const http::Request& request) {
    std::vector<std::string> secrets;
    for (const auto& [name, value] : request.headers) {
        if (lower_case(name) == "authorization") {
            add_authorization(value, secrets);
        } else if (!is_public(name)) {
            secrets.push_back(value);
        }
    }
    add_form(request.body, secrets);
    add_url(request.url, secrets);
    return secrets;
}

std::string without_secrets(std::string_view line, const std::vector<std::string>& secrets) {
    std::vector<std::string> all_wanted;
    for (const std::string& secret : secrets) {
        std::string wanted(trimmed(decoded(secret, &unencoded).bytes));
        if (!wanted.empty()) all_wanted.push_back(std::move(wanted));
    }
    std::vector<bool> is_hidden(line.size(), false);
    for (const Encoding encoding :
         {&unencoded, &percent_encoded, &form_encoded, &escaped_in_json, &escaped_in_markup}) {
        const Decoded text = decoded(line, encoding);
        for (const std::string& wanted : all_wanted) {
            for (std::size_t at = 0; (at = text.bytes.find(wanted, at)) != std::string::npos;) {
                const std::size_t last = at + wanted.size() - 1;
                std::fill(is_hidden.begin() + static_cast<std::ptrdiff_t>(text.begins[at]),
                          is_hidden.begin() + static_cast<std::ptrdiff_t>(text.ends[last]), true);
                at = last + 1;
            }
        }
    }
    std::string shown;
    for (std::size_t at = 0; at < line.size(); ++at) {
        if (!is_hidden[at]) {
            shown += line[at];
        } else if (at == 0 || !is_hidden[at - 1]) {
            shown += "…";
        }
    }
    return shown;
}

}  // namespace prebake::registry
