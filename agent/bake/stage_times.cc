#include "agent/bake/stage_times.h"

namespace prebake::bake {

std::string_view to_string(Stage stage) {
    switch (stage) {
        case Stage::receiving:
            return "receiving";
        case Stage::storing:
            return "storing";
        case Stage::committing:
            return "committing";
        case Stage::reading:
            return "reading";
        case Stage::inflating:
            return "inflating";
        case Stage::hashing:
            return "hashing";
        case Stage::writing:
            return "writing";
        case Stage::applying:
            return "applying";
        case Stage::syncing:
            return "syncing";
        case Stage::snapshots:
            return "snapshots";
    }
    return "";
}

std::map<std::string, double> StageTimes::seconds() const {
    std::map<std::string, double> found;
    for (std::size_t i = 0; i < times_.size(); ++i) {
        const std::chrono::duration<double> total = std::chrono::nanoseconds(times_.at(i).load());
        if (total.count() > 0) found.emplace(to_string(static_cast<Stage>(i)), total.count());
    }
    return found;
}

}  // namespace prebake::bake
