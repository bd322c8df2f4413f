#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/item.h"

namespace prebake::identity {

/// Configuration files that items change are small; a larger one is an error, not a surprise.
inline constexpr std::size_t kMaxTextBytes = 1UL << 20;

/// The words of a line up to a comment ('#').
std::vector<std::string_view> words_of(std::string_view line);

/// Says which lines of a file must not stay.
using Goes = std::function<bool(std::string_view line)>;

/// The text without them; nothing if all may stay.
std::optional<std::string> without_lines(std::string_view text, const Goes& goes);

/// Rewrites the regular files that `pattern` names without such lines. A link is left alone: to
/// write would put a file in its place.
void strip_lines(const machine::Root& root, std::string_view pattern, const Goes& goes,
                 Changes& changes);

/// The contents of a regular file; nothing if it is not there, or is a link.
std::optional<std::string> read_regular(const machine::Root& root, std::string_view path);

}  // namespace prebake::identity
