#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <chrono>
#include <string>
#include <string_view>

namespace prebake {

using Time = std::chrono::system_clock::time_point;

google::protobuf::Timestamp to_timestamp(Time time);
/// What is outside of the clock's range (documents may say year 9999) becomes its nearest end.
Time to_time(const google::protobuf::Timestamp& timestamp);

/// `prefix` and the nanoseconds since 1970: a name that no other process has chosen.
std::string timestamped(std::string_view prefix);

}  // namespace prebake
