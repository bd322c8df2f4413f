#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

/// Places in the text of a JSON document, for messages, and what Go accepts in it.
/// A path names a value from the top: "layers[1].size". The top itself is "".
namespace prebake::oci {

/// The path of a member of an object, of an element of a list.
std::string member_path(std::string_view object, std::string_view name);
std::string element_path(std::string_view list, std::size_t position);

/// "line 3, column 14", counted from 1, in characters.
std::string line_and_column(std::string_view text, std::size_t offset);

/// The path of the innermost value that is open at `offset`. The text before must be JSON.
std::string path_at(std::string_view text, std::size_t offset);

/// Where the value with that path begins; if there is none, the innermost value around it. `text`
/// must be JSON. Members whose names contain escapes are not found.
std::size_t offset_of(std::string_view text, std::string_view path);

/// The text with \ufffd for each \u escape that is half of a surrogate pair, which Go accepts and
/// Boost.JSON does not. Of the same length. Nothing if there is none.
std::optional<std::string> without_lone_surrogates(std::string_view text);

/// The string with U+FFFD for each byte that is not UTF-8, as Go reads it.
std::string valid_utf8(std::string_view text);

}  // namespace prebake::oci
