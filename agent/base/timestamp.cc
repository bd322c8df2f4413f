#include "agent/base/timestamp.h"

#include <google/protobuf/util/time_util.h>

namespace prebake {

using std::chrono::duration_cast;
using std::chrono::nanoseconds;
using std::chrono::seconds;

google::protobuf::Timestamp to_timestamp(Time time) {
    return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
        duration_cast<nanoseconds>(time.time_since_epoch()).count());
}

Time to_time(const google::protobuf::Timestamp& timestamp) {
    const seconds whole(timestamp.seconds());
    if (whole >= duration_cast<seconds>(Time::max().time_since_epoch())) return Time::max();
    if (whole <= duration_cast<seconds>(Time::min().time_since_epoch())) return Time::min();
    return Time(whole + nanoseconds(timestamp.nanos()));
}

std::string timestamped(std::string_view prefix) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::string(prefix) + std::to_string(std::chrono::nanoseconds(now).count());
}

}  // namespace prebake
