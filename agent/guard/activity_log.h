#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/store/baked_images.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::guard {

enum class Severity { error, warning, info, debug };

/// The image that was repaired.
store::ImageKey key_of(const v1::Repair& repair);

/// What the daemon reports about its work: lines of the log, warnings that stand until they are
/// cleared, and the last repairs. Warnings and repairs are also shown by the status.
class ActivityLog {
  public:
    using Note = std::function<void(Severity, const std::string&)>;
    static constexpr std::size_t kMaxRepairs = 16;
    static constexpr int kQuietFailures = 5;

    /// `note` writes one line; it may be empty.
    explicit ActivityLog(Note note) : note_(std::move(note)) {}

    void note(Severity severity, const std::string& text) const {
        if (note_) note_(severity, text);
    }
    /// Sets the standing warning about `subject`, and logs it if it is not standing already.
    void warn(const std::string& subject, const std::string& text);
    /// The same about work that is tried again by itself. The first kQuietFailures in a row are
    /// only logged, as information: at boot containerd and CRI answer with errors while they start.
    void warn_of_retry(const std::string& subject, const std::string& text);
    /// Clears the standing warning about `subject`; it does not fail any more.
    void clear(const std::string& subject);
    std::vector<std::string> warnings() const;

    /// Logs a repair and keeps it.
    void add(v1::Repair repair);
    /// Forgets that repairs of the image failed: it is usable now.
    void forget_failures(const store::ImageKey& image);
    /// The last kMaxRepairs, the latest first, without failures that were repaired since.
    const std::deque<v1::Repair>& repairs() const { return repairs_; }
    /// All repairs since the daemon started.
    std::size_t repairs_total() const { return repairs_total_; }

  private:
    Note note_;
    std::map<std::string, std::string> warnings_;  ///< by subject
    std::map<std::string, int> failures_;          ///< in a row, by subject
    std::deque<v1::Repair> repairs_;
    std::size_t repairs_total_ = 0;
};

}  // namespace prebake::guard
