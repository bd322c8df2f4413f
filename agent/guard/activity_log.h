#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "proto/prebake/v1/node.pb.h"

namespace prebake::guard {

enum class Severity { error, warning, info, debug };

/// What the keeper tells people: the log, each thing once; warnings that stand until they are
/// taken back; and the last repairs.
class ActivityLog {
  public:
    using Note = std::function<void(Severity, const std::string&)>;
    static constexpr std::size_t kMaxRepairs = 16;

    explicit ActivityLog(Note note) : note_(std::move(note)) {}

    void note(Severity severity, const std::string& text) const {
        if (note_) note_(severity, text);
    }
    /// Notes `text`, and lets it stand as the warning about `subject`. Nothing when it stands
    /// already.
    void warn(const std::string& subject, const std::string& text);
    void take_back(const std::string& subject);
    std::vector<std::string> warnings() const;

    void add(v1::Repair repair);
    /// The latest first.
    const std::deque<v1::Repair>& repairs() const { return repairs_; }
    std::size_t repairs_total() const { return repairs_total_; }

  private:
    Note note_;
    std::map<std::string, std::string> warnings_;
    std::deque<v1::Repair> repairs_;
    std::size_t repairs_total_ = 0;
};

}  // namespace prebake::guard
