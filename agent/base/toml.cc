#include "agent/base/toml.h"

#include "agent/base/nearest.h"
#include "agent/base/text.h"

namespace prebake {
namespace {

/// The parser's description without pieces of the file. It quotes them behind what it expected, as
/// in "expected '=', saw 'x'", or where the first quotation mark is.
std::string_view without_quotations(std::string_view description) {
    const std::size_t mark = description.find('\'');
    if (mark == std::string_view::npos) return description;
    const std::string_view before = description.substr(0, mark);
    std::size_t end = mark;
    if (before.ends_with("expected "))
        end = description.find(", saw ", mark);
    else if (before.ends_with(", saw "))
        end = mark - std::string_view(", saw ").size();
    description = description.substr(0, end);
    return description.substr(0, description.find_last_not_of(' ') + 1);
}

}  // namespace

toml::table parse_toml(std::string_view text, const std::string& file,
                       const std::string& next_step) {
    try {
        return toml::parse(text, file);
    } catch (const toml::parse_error& error) {
        const toml::source_position at = error.source().begin;
        throw Error(Errc::usage,
                    file + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": " +
                        std::string(without_quotations(error.description())),
                    next_step);
    }
}

std::string place_of(const toml::node& node, const std::string& file) {
    return file + ":" + std::to_string(node.source().begin.line);
}

Error unknown_word(const std::string& place, std::string_view what, std::string_view word,
                   const std::vector<std::string>& known) {
    const std::string meant = nearest(word, known);
    return Error(Errc::usage,
                 place + ": unknown " + std::string(what) + " \"" + std::string(word) + "\"",
                 meant.empty() ? "known " + std::string(what) + "s are: " + joined(known)
                               : "did you mean \"" + meant + "\"?");
}

Error unknown_key(const std::string& place, std::string_view key,
                  const std::vector<std::string>& known) {
    return unknown_word(place, "key", key, known);
}

Error wrong_type(std::string_view key, std::string_view type, std::string_view example) {
    return Error(Errc::usage, std::string(key) + " must be " + std::string(type),
                 "for example: " + std::string(key) + " = " + std::string(example));
}

std::string string_value(const toml::node& node, std::string_view key, std::string_view example) {
    if (const auto* value = node.as_string()) return value->get();
    throw wrong_type(key, "a string", example);
}

bool bool_value(const toml::node& node, std::string_view key) {
    if (const auto* value = node.as_boolean()) return value->get();
    throw wrong_type(key, "true or false, without quotes", "true");
}

std::vector<std::string> strings_value(const toml::node& node, std::string_view key,
                                       std::string_view example) {
    if (node.is_string()) return {string_value(node, key, example)};
    const toml::array* array = node.as_array();
    if (array == nullptr) throw wrong_type(key, "a list of strings", example);
    std::vector<std::string> values;
    for (const toml::node& element : *array) {
        const auto* value = element.as_string();
        if (value == nullptr) throw wrong_type(key, "a list of strings", example);
        values.push_back(value->get());
    }
    return values;
}

}  // namespace prebake
