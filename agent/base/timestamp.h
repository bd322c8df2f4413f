#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <chrono>

namespace prebake {

using Time = std::chrono::system_clock::time_point;

google::protobuf::Timestamp to_timestamp(Time time);
/// What is outside of the clock's range (documents may say year 9999) becomes its nearest end.
Time to_time(const google::protobuf::Timestamp& timestamp);

}  // namespace prebake
