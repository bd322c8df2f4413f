#pragma once

#include <string>
#include <string_view>

#include "agent/machine/root.h"

namespace prebake::machine {

/// The trimmed text of a small file as programs see it: what is mounted over it counts, where Root
/// reads beneath (a container's firmware facts, a transient machine-id). Empty if it is not there,
/// cannot be read, or is longer than 4 KiB.
std::string visible_text(const Root& root, std::string_view path);

}  // namespace prebake::machine
