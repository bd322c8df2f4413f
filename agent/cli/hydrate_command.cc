#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/json.h"
#include "agent/cli/commands.h"
#include "agent/cli/log.h"
#include "agent/cli/recording_leftovers.h"
#include "agent/cli/runtime_directory.h"
#include "agent/hydrate/hydration_report.h"
#include "agent/hydrate/hydrator.h"

namespace prebake::cli {
namespace {

constexpr std::chrono::milliseconds kRedrawn{500};

/// One line on a terminal, redrawn in place.
class HydrationLine {
  public:
    explicit HydrationLine(bool is_shown) : is_shown_(is_shown) {}
    ~HydrationLine() { clear(); }
    HydrationLine(const HydrationLine&) = delete;
    HydrationLine& operator=(const HydrationLine&) = delete;

    void show(const v1::Hydration& document) {
        const auto now = std::chrono::steady_clock::now();
        if (!is_shown_ || now - drawn_ < kRedrawn) return;
        drawn_ = now;
        std::string text;
        for (const v1::HydratedRank& rank : document.ranks()) {
            if (rank.seconds() > 0) continue;
            text = hydrate::rank_word(rank.rank()) + ": " + format_bytes(rank.bytes());
            if (rank.total_bytes() > 0) text += " of " + format_bytes(rank.total_bytes());
            break;
        }
        if (document.bytes_per_second() > 0) {
            text += ", " + format_bytes(static_cast<std::uint64_t>(document.bytes_per_second())) +
                    "/s, " + counted(document.depth(), "read") + " in flight";
        }
        clear();
        std::fputs(text.c_str(), stderr);
        is_drawn_ = true;
    }

    void clear() {
        if (is_drawn_) std::fputs("\r\033[K", stderr);
        is_drawn_ = false;
    }

  private:
    bool is_shown_;
    bool is_drawn_ = false;
    std::chrono::steady_clock::time_point drawn_{};
};

std::vector<std::filesystem::path> containerd_states(const Config& config) {
    std::vector<std::filesystem::path> states = hydrate::usual_containerd_states();
    // Distributions that bring a containerd have its socket there: /run/k3s/containerd.
    states.push_back(std::filesystem::path(config.address).parent_path());
    return states;
}

hydrate::HydratorOptions hydrator_options(const Invocation& invocation,
                                          const HydrateArguments& arguments) {
    const Config& config = invocation.config;
    return {.mode = config.hydrate_mode,
            .extent = arguments.reads_all ? hydrate::Extent::all : hydrate::Extent::planned,
            .repetition =
                arguments.reads_again ? hydrate::Repetition::again : hydrate::Repetition::resume,
            .rate = config.hydrate_rate,
            .depth = static_cast<unsigned>(config.hydrate_depth),
            .deadline = config.hydrate_deadline,
            .read_limit = arguments.read_limit,
            .state_dir = invocation.state_dir,
            .runtime_dir =
                arguments.runtime_dir.empty() ? runtime_directory(config) : arguments.runtime_dir,
            .containerd_states = containerd_states(config),
            .containerd_config = config.containerd_config,
            .find_volumes = hydrate::find_planned_volumes,
            .note = {},
            .on_progress = {}};
}

ExitCode code_of(const v1::Hydration& document, const StopSignals& signals) {
    if (document.state() != "incomplete") return ExitCode::done;
    return signals.received() != 0 ? interruption_code(signals) : ExitCode::partial;
}

}  // namespace

ExitCode hydrate_command(const Invocation& invocation, const HydrateArguments& arguments) {
    hydrate::HydratorOptions options = hydrator_options(invocation, arguments);
    restore_what_recordings_left(options.runtime_dir);
    const bool is_terminal = ::isatty(STDERR_FILENO) == 1;
    HydrationLine line(is_terminal && !invocation.quiet && !invocation.json);
    options.note = [&](hydrate::NoteLevel level, const std::string& text) {
        line.clear();
        if (level == hydrate::NoteLevel::warning) return log_warning(text);
        log_info(text);
    };
    options.on_progress = [&](const v1::Hydration& document) { line.show(document); };
    const v1::Hydration document = hydrate::hydrate(options, invocation.signals.token());
    line.clear();
    std::string text = document.state() + ": " + document.message();
    if (!document.next_step().empty()) text += "; " + document.next_step();
    if (document.state() == "incomplete") {
        log_warning(text);
    } else {
        log_info(text);
    }
    if (invocation.json) std::puts(to_json(document, JsonForm::indented).c_str());
    return code_of(document, invocation.signals);
}

}  // namespace prebake::cli
