#include "agent/cli/toml.h"

#include "agent/base/nearest.h"

namespace prebake::cli {
namespace {

Error wrong_type(std::string_view key, std::string_view type) {
    return Error(Errc::usage, std::string(key) + " must be " + std::string(type));
}

}  // namespace

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

Error unknown_key(const std::string& place, std::string_view key,
                  const std::vector<std::string>& known) {
    const std::string meant = nearest(key, known);
    std::string all;
    for (const std::string& name : known) all += (all.empty() ? "" : ", ") + name;
    return Error(Errc::usage, place + ": unknown key \"" + std::string(key) + "\"",
                 meant.empty() ? "known keys are: " + all : "did you mean \"" + meant + "\"?");
}

std::string string_value(const toml::node& node, std::string_view key) {
    if (const auto* value = node.as_string()) return value->get();
    throw wrong_type(key, "a string");
}

bool bool_value(const toml::node& node, std::string_view key) {
    if (const auto* value = node.as_boolean()) return value->get();
    throw wrong_type(key, "true or false");
}

std::vector<std::string> strings_value(const toml::node& node, std::string_view key) {
    if (node.is_string()) return {string_value(node, key)};
    const toml::array* array = node.as_array();
    if (array == nullptr) throw wrong_type(key, "a list of strings");
    std::vector<std::string> values;
    for (const toml::node& element : *array) values.push_back(string_value(element, key));
    return values;
}

}  // namespace prebake::cli
