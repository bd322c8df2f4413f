#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/item.h"
#include "agent/machine/root.h"

namespace prebake::identity {

/// Limit of a configuration file that items read or change. A larger one is an error.
inline constexpr std::size_t kMaxTextBytes = 1UL << 20;

/// The words of a line up to a comment ('#').
std::vector<std::string_view> words_of(std::string_view line);

/// True for a line that must not stay.
using MustGo = std::function<bool(std::string_view line)>;

/// The text without those lines; nothing if all may stay.
std::optional<std::string> without_lines(std::string_view text, const MustGo& must_go);

/// Adds a rewrite, without those lines, of each regular file that `pattern` matches. Links are left
/// alone: writing would replace them by files.
void strip_lines(const machine::Root& root, std::string_view pattern, const MustGo& must_go,
                 Changes& changes);

/// The contents of a regular file; nothing if it does not exist or is a link.
std::optional<std::string> read_regular(const machine::Root& root, std::string_view path);

}  // namespace prebake::identity
