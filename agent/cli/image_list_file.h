#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/bake/image_list.h"

namespace prebake::cli {

/// The value of an environment variable, if it is set.
using Lookup = std::function<std::optional<std::string>(const std::string&)>;

/// Replaces ${VAR} and ${VAR:-default} (used when VAR is unset or empty, as in a shell). A single $
/// stays.
/// @throws Error usage that names the variable that is not set, or the brace that is missing.
std::string expand_variables(std::string_view text, const Lookup& lookup);

/// Parses an image list: TOML with [[image]] tables if it looks like that, else plain text with one
/// reference a line. `name` stands for it in errors and in ImageRequest::origin.
/// @throws Error usage "name:line: …".
std::vector<bake::ImageRequest> parse_image_list(std::string_view text, const std::string& name,
                                                 const Lookup& lookup);

/// Reads a list from a file, or from stdin for "-". @throws Error usage also when it is a directory
/// or empty of images.
std::vector<bake::ImageRequest> read_image_list(const std::string& file, const Lookup& lookup);

/// The same list with every reference's digest, in TOML: what `plan --lock` writes.
std::string lock_text(const std::vector<bake::ImageRequest>& requests);

}  // namespace prebake::cli
