#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#define TOML_ENABLE_FORMATTERS 0
// It asserts about its input what it checks afterwards, and reports.
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/toml.h>

#include "agent/base/error.h"

/// Shared by the readers of our TOML files.
namespace prebake {

/// @throws Error usage "file:line:column: reason", with `next_step`. The reason does not quote the
/// text.
toml::table parse_toml(std::string_view text, const std::string& file,
                       const std::string& next_step = {});

/// "file:line"
std::string place_of(const toml::node& node, const std::string& file);

/// The error for a word that is not in `known`, with the nearest known one. `what` it is: "key".
Error unknown_word(const std::string& place, std::string_view what, std::string_view word,
                   const std::vector<std::string>& known);
/// The same for a key.
Error unknown_key(const std::string& place, std::string_view key,
                  const std::vector<std::string>& known);

/// The error for a value of the wrong type or form. `type` is "a string", `example` a value as it
/// stands in the file: "\"5m\"".
Error wrong_type(std::string_view key, std::string_view type, std::string_view example);

/// The value of a node of the expected type. @throws Error usage that names key and type, with the
/// example.
std::string string_value(const toml::node& node, std::string_view key, std::string_view example);
bool bool_value(const toml::node& node, std::string_view key);
/// A single string is a list of one.
std::vector<std::string> strings_value(const toml::node& node, std::string_view key,
                                       std::string_view example);

}  // namespace prebake
