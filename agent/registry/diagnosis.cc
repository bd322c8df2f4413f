#include "agent/registry/diagnosis.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <initializer_list>
#include <utility>

#include "agent/base/ascii.h"
#include "agent/base/format.h"
#include "agent/base/text.h"
#include "agent/registry/secrets.h"

namespace prebake::registry {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDiagnosisBytes = 300;
/// Of the texts in one "detail".
constexpr std::size_t kMaxDetails = 8;
/// Objects and arrays within each other; real documents have three.
constexpr int kMaxDepth = 5;

/// Runs of white space become one space.
std::string one_line(std::string_view text) {
    std::string line;
    for (const char c : trimmed(text)) {
        if (!is_white_space(c)) {
            line += c;
        } else if (!line.ends_with(' ')) {
            line += ' ';
        }
    }
    return line;
}

bool contains(std::string_view text, std::string_view part) {
    return lower_case(text).find(lower_case(part)) != std::string::npos;
}

// JSON

/// The member that has one of the names, in any case; the first name that leads to one counts.
const json::value* member(const json::object& object, std::initializer_list<const char*> names) {
    for (const std::string_view name : names) {
        for (const auto& [key, value] : object) {
            if (lower_case(key) == name) return &value;
        }
    }
    return nullptr;
}

/// The first of these members that is a text and not empty.
std::string text_of(const json::object& object, std::initializer_list<const char*> names) {
    for (const char* name : names) {
        const json::value* value = member(object, {name});
        if (value == nullptr || !value->is_string()) continue;
        std::string text = one_line(std::string_view(value->as_string()));
        if (!text.empty()) return text;
    }
    return {};
}

/// "Type: repository, Action: pull": the texts of a value of any form.
void add_details(const json::value& value, const std::string& name, int depth,
                 std::vector<std::string>& details) {
    if (depth > kMaxDepth || details.size() >= kMaxDetails) return;
    if (const auto* text = value.if_string()) {
        const std::string line = one_line(std::string_view(*text));
        if (!line.empty()) details.push_back(name.empty() ? line : name + ": " + line);
    } else if (const auto* array = value.if_array()) {
        for (const json::value& each : *array) add_details(each, name, depth + 1, details);
    } else if (const auto* object = value.if_object()) {
        for (const auto& [key, each] : *object) {
            add_details(each, std::string(key), depth + 1, details);
        }
    }
}

/// "CODE: message (detail)", without what is missing or a repetition.
std::string composed(const std::string& code, const std::string& message,
                     const std::string& detail) {
    std::string text = code;
    if (!contains(text, message)) text += (text.empty() ? "" : ": ") + message;
    if (text.empty()) return detail;
    if (!contains(text, detail)) text += " (" + detail + ")";
    return text;
}

std::string explained(const json::value& value, int depth = 0) {
    if (depth > kMaxDepth) return {};
    if (const auto* text = value.if_string()) return one_line(std::string_view(*text));
    if (const auto* array = value.if_array()) {
        for (const json::value& each : *array) {
            if (std::string text = explained(each, depth + 1); !text.empty()) return text;
        }
        return {};
    }
    const auto* object = value.if_object();
    if (object == nullptr) return {};
    for (const char* const list : {"errors", "error"}) {
        const json::value* inner = member(*object, {list});
        if (inner == nullptr || inner->is_string()) continue;
        if (std::string text = explained(*inner, depth + 1); !text.empty()) return text;
    }
    std::vector<std::string> details;
    if (const json::value* detail = member(*object, {"detail", "details"})) {
        add_details(*detail, {}, depth, details);
    }
    return composed(text_of(*object, {"code", "error", "title", "errorcode"}),
                    text_of(*object, {"message", "error_description", "error_message", "errors",
                                      "errormessage", "description", "reason", "msg"}),
                    joined(details));
}

// XML and HTML

/// The text of an element: without tags, scripts and styles, with the common entities decoded.
std::string text_of_markup(std::string_view markup) {
    std::string text;
    while (!markup.empty()) {
        const std::size_t tag = std::min(markup.find('<'), markup.size());
        text += markup.substr(0, tag);
        markup.remove_prefix(tag);
        if (markup.empty()) break;
        std::size_t end = markup.find('>');
        const std::string name = lower_case(markup.substr(0, 8));
        for (const char* const hidden : {"script", "style", "!--"}) {
            if (!name.starts_with(std::string("<") + hidden)) continue;
            const std::string closing = hidden == std::string_view("!--") ? "-->" : "</";
            end = markup.find(closing, 1);
            if (end != std::string_view::npos) end = markup.find('>', end);
        }
        text += ' ';  // tags separate words
        markup.remove_prefix(end == std::string_view::npos ? markup.size() : end + 1);
    }
    constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kEntities{{
        {"&nbsp;", " "},
        {"&lt;", "<"},
        {"&gt;", ">"},
        {"&quot;", "\""},
        {"&#39;", "'"},
        {"&amp;", "&"},
    }};
    for (const auto& [entity, character] : kEntities) {
        for (std::size_t at = 0; (at = text.find(entity, at)) != std::string::npos;) {
            text.replace(at, entity.size(), character);
            at += character.size();
        }
    }
    return one_line(text);
}

/// What is between the first <name …> and its end; `lower` is the markup in lower case.
std::string_view element(std::string_view markup, std::string_view lower, std::string_view name) {
    for (std::size_t at = 0; (at = lower.find('<', at)) != std::string_view::npos; ++at) {
        const std::string_view rest = lower.substr(at + 1);
        if (!rest.starts_with(name) || rest.size() == name.size()) continue;
        const char after = rest[name.size()];
        if (after != '>' && !is_white_space(after)) continue;
        const std::size_t begin = lower.find('>', at);
        if (begin == std::string_view::npos) return {};
        const std::size_t end = lower.find("</" + std::string(name), begin);
        return markup.substr(begin + 1, std::min(end, markup.size()) - begin - 1);
    }
    return {};
}

std::string explained_markup(std::string_view markup) {
    const std::string lower = lower_case(markup);
    const auto text = [&](const char* name) {
        return text_of_markup(element(markup, lower, name));
    };
    // Object storage. Its other elements repeat the signed URL.
    const bool is_page = contains(lower, "<html") || lower.starts_with("<!doctype html");
    const std::string code = is_page ? std::string() : text("code");
    if (!code.empty()) return composed(code, text("message"), text("details"));
    std::string title = text("title");
    std::string body = text("body");
    // A page whose title is only the status ("403 Forbidden") may say more in its text.
    const bool is_status =
        title.size() > 3 && std::all_of(title.begin(), title.begin() + 3, is_digit);
    if (!title.empty() && !is_status) return title;
    if (!body.empty()) return body;
    return title.empty() ? text_of_markup(markup) : title;
}

/// A server, or a proxy, that repeats the whole request, with what others added on its way.
std::string_view without_echo(std::string_view text) {
    return trimmed(text.substr(0, lower_case(text).find("authorization:")));
}

std::string reason_in(std::string_view body) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";  // Azure's storage sends it
    if (body.starts_with(kByteOrderMark)) body.remove_prefix(kByteOrderMark.size());
    body = trimmed(body);
    if (body.empty() || body.find('\0') != std::string_view::npos) return {};
    if (body.front() == '<') return explained_markup(body);
    boost::system::error_code failure;
    const json::value document = json::parse(body, failure);
    if (!failure) return explained(document);
    // Cut or broken JSON is no text for people.
    return body.front() == '{' || body.front() == '[' ? std::string() : one_line(body);
}

}  // namespace

std::string diagnosis(std::string_view body, const std::vector<std::string>& secrets) {
    const std::string reason = without_secrets(without_echo(reason_in(body)), secrets);
    return shorten(printable(reason), kMaxDiagnosisBytes);
}

}  // namespace prebake::registry
