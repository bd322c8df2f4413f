#pragma once

#include <string>
#include <string_view>

namespace prebake::oci {

/// Foreign text for one line of an error message: in double quotes, bytes that are not printable
/// ASCII as \xNN, cut after 200 bytes.
std::string quoted(std::string_view text);

/// One character in the same way, in single quotes.
std::string quoted(char character);

}  // namespace prebake::oci
