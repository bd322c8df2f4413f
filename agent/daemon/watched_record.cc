#include "agent/daemon/watched_record.h"

#include <google/protobuf/util/message_differencer.h>

#include "agent/base/error.h"
#include "agent/store/record.h"

namespace prebake::daemon {

bool WatchedRecord::read() {
    try {
        v1::BakeRecord record = store::read_record_or_empty(state_dir_);
        problem_.clear();
        log_.clear("record");
        if (google::protobuf::util::MessageDifferencer::Equals(record, record_)) return false;
        record_ = std::move(record);
        return true;
    } catch (const Error& error) {
        problem_ = error.message();
        log_.warn("record", problem_);
        return false;
    }
}

}  // namespace prebake::daemon
