#include "agent/cli/toml.h"

#include "agent/base/nearest.h"

namespace prebake::cli {
toml::table parse_toml(std::string_view text, const std::string& file) {
    try {
        return toml::parse(text, file);
    } catch (const toml::parse_error& error) {
        throw Error(Errc::usage, file + ":" + std::to_string(error.source().begin.line) + ": " +
                                     std::string(error.description()));
    }
}

std::string place_of(const toml::node& node, const std::string& file) {
    return file + ":" + std::to_string(node.source().begin.line);
}

Error unknown_word(const std::string& place, std::string_view what, std::string_view word,
                   const std::vector<std::string>& known) {
    const std::string meant = nearest(word, known);
    std::string all;
    for (const std::string& name : known) all += (all.empty() ? "" : ", ") + name;
    return Error(Errc::usage,
                 place + ": unknown " + std::string(what) + " \"" + std::string(word) + "\"",
                 meant.empty() ? "known " + std::string(what) + "s are: " + all
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

}  // namespace prebake::cli
