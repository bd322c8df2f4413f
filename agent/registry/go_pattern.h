#pragma once

#include <string>
#include <string_view>

#include "agent/registry/endpoint.h"

namespace prebake::registry {

/// A pattern and a replacement as Go has them (RE2, regexp.Expand), as std::regex reads them. At
/// the beginning (?i) is read, and named groups are numbered.
/// @throws Error usage that names the construct which prebake does not support.
Rewrite rewrite_of_go(std::string_view pattern, std::string_view replacement);

}  // namespace prebake::registry
