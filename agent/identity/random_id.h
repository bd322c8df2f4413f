#pragma once

#include <string>
#include <string_view>

namespace prebake::identity {

/// A random UUID (RFC 4122, version 4) as 32 hex digits: the form of a machine-id.
std::string make_random_id();

/// The same 32 digits as 8-4-4-4-12.
std::string uuid_form(std::string_view id);

}  // namespace prebake::identity
