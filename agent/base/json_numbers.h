#pragma once

#include <string>
#include <string_view>

namespace google::protobuf {
class Descriptor;
}

namespace prebake {

/// proto3 JSON writes 64-bit numbers as strings, because a reader may keep numbers as doubles. This
/// takes the quotes off those that a double holds exactly (up to 2^53), so that scripts can compare
/// and add them. `json` is protobuf's JSON of a `message`. Pure.
std::string with_plain_numbers(std::string_view json, const google::protobuf::Descriptor& message);

}  // namespace prebake
