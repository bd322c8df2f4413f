#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace prebake {

/// The one of `known` that `word` was probably meant to be; empty if none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace prebake
