#pragma once

#include <string>
#include <string_view>

#include "agent/machine/root.h"

namespace prebake::machine {

/// The trimmed text of a small file as programs see it. Unlike Root, it reads what is mounted over
/// the file (a container's firmware facts, a transient machine-id). Empty if the file is missing,
/// cannot be read, or is longer than 4 KiB.
std::string visible_text(const Root& root, std::string_view path);

}  // namespace prebake::machine
