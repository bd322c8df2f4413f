#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/node/accounts.h"
#include "agent/node/board.h"
#include "agent/node/conditions.h"
#include "agent/node/journal.h"
#include "agent/node/protected_images.h"
#include "agent/node/reconcile.h"

namespace prebake::node {

/// Judges what is known, and puts it on the board.
class Publisher {
  public:
    struct Sources {
        Board& board;
        Journal& journal;
        const Accounts& accounts;
        const ProtectedImages& images;
        const NodeFacts& facts;
        std::vector<std::string> gates;
        std::string boot_id;
        std::string prebake_version;
    };

    explicit Publisher(Sources sources) : from_(std::move(sources)) {}

    /// containerd answers; the time to ready counts from the first time.
    void containerd_answered(const std::string& version);
    /// When this boot was ready first; set if an earlier run of the daemon saw it.
    const v1::Times& times() const { return times_; }
    void set_times(const v1::Times& times) { times_ = times; }

    void publish();
    /// While images are being repaired there is no verdict on them.
    void publish_progress(const RepairProgress& progress);

  private:
    void evaluate_conditions();
    void put_on_board(const Verdict& verdict) const;
    void note_ready(const Verdict& verdict);
    void note_verdict(const Verdict& verdict);

    Sources from_;
    std::vector<v1::Condition> conditions_;
    v1::Times times_;
    std::string containerd_version_;
    std::optional<std::chrono::steady_clock::time_point> answered_at_;
    std::string last_verdict_;
};

}  // namespace prebake::node
