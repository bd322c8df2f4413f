#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/bake/image_list.h"
#include "agent/base/file_trust.h"

namespace prebake::cli {

/// The value of an environment variable, if it is set.
using Lookup = std::function<std::optional<std::string>(const std::string&)>;

/// Replaces ${VAR} and ${VAR:-default} (the default is used if VAR is unset or empty, as in a
/// shell). Any other $ is kept.
/// @throws Error usage for an unset variable or a missing brace. Of the text it has at most a
/// variable's name, if that is one as usual: IMAGE_TAG.
std::string expand_variables(std::string_view text, const Lookup& lookup);

/// Parses an image list: TOML with [[image]] tables, or plain text with one reference per line. The
/// first line that is not empty and not a comment decides which. `name` is used in errors and in
/// ImageRequest::origin.
/// @throws Error usage, unsupported "name:line:column: what is expected". It quotes no more of the
/// text than expand_variables() does: the file may not be a list.
std::vector<bake::ImageRequest> parse_image_list(std::string_view text, const std::string& name,
                                                 const Lookup& lookup);

/// Reads a list from a file, or from stdin for "-". @throws Error usage, also for a directory, for
/// a list without images, and for a file that other users can change (base/file_trust.h).
std::vector<bake::ImageRequest> read_image_list(const std::string& file, WhoseFile whose,
                                                const Lookup& lookup);

/// The list in TOML, as written by `plan --lock`. The requests must have digests.
std::string lock_text(const std::vector<bake::ImageRequest>& requests);

}  // namespace prebake::cli
