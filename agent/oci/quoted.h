#pragma once

#include <string>
#include <string_view>

namespace prebake::oci {

/// Text that somebody else wrote, fit for one line of an error message: in double quotes, bytes
/// that are not printable ASCII as \xNN (a registry must not steer the operator's terminal), cut
/// after 200 bytes.
std::string quoted(std::string_view text);

/// One character likewise, in single quotes.
std::string quoted(char character);

}  // namespace prebake::oci
