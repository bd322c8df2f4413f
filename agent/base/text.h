#pragma once

#include <string>
#include <string_view>
#include <vector>

/// Text as programs read it. Pure.
namespace prebake {

/// ASCII letters only: independent of the locale.
std::string lower_case(std::string_view text);

/// The lines of a text, without their ends.
std::vector<std::string_view> lines_of(std::string_view text);

/// Without white space at both ends.
std::string_view trimmed(std::string_view text);

}  // namespace prebake
