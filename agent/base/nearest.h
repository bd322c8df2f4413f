#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace prebake {

/// The word in `known` that `word` is probably a typing error of; empty if none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace prebake
