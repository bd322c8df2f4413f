#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/json.h"
#include "agent/base/wait.h"
#include "agent/cli/ask_node.h"
#include "agent/cli/commands.h"
#include "agent/cli/log.h"
#include "agent/cli/seal_at_shutdown.h"
#include "agent/identity/claim.h"
#include "agent/ledger/ledger_file.h"
#include "agent/report/conditions.h"
#include "agent/report/goal.h"
#include "agent/report/last_status.h"
#include "agent/report/metrics.h"
#include "agent/report/status_format.h"

namespace prebake::cli {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// In addition to the time that the daemon is asked to wait.
constexpr milliseconds kPatience{10'000};
/// Between attempts to reach a daemon that has not started yet.
constexpr milliseconds kRetryInterval{250};
/// Between requests, if the daemon answers at once because too many clients are waiting.
constexpr milliseconds kPauseBetweenAnswers{1000};
/// The longest wait that the daemon accepts in one request.
constexpr std::chrono::seconds kLongestRequest{300};
constexpr std::size_t kMaxFileBytes = 16UL << 20;

/// The known state of the node, and its source.
struct Finding {
    report::NodeView view;
    std::string document;  ///< from the daemon; empty: it does not run
};

/// Returns why an existing file could not be read; empty if it was read or does not exist.
template <typename Message>
std::string read_if_possible(const std::filesystem::path& file, Message& message) {
    try {
        from_json(read_file(file, kMaxFileBytes), message, file.string(), "");
    } catch (const Error& error) {
        message.Clear();
        if (error.code() != Errc::not_found) return error.message();
    }
    return {};
}

/// A machine that is sealed, or will be, has no daemon on purpose.
void mention_seal(const Invocation& invocation, v1::NodeStatus& status) {
    std::error_code ignored;
    if (std::filesystem::exists(kArmedFile, ignored)) {
        status.set_verdict("armed");
        status.set_message(
            "this machine seals itself when it shuts down (undo with prebake seal --disarm)");
        return;
    }
    try {
        const auto claim = identity::find_claim(machine::Root("/"), invocation.state_dir.string());
        const bool is_sealed = claim && claim->state() == v1::Claim::SEALED;
        // On a clone whose first boot failed, the claim is the builder's.
        if (!is_sealed || claim->seal().boot_id() != report::kernel_boot_id()) return;
    } catch (const Error&) {
        return;  // then nothing is known, as before
    }
    status.set_verdict("sealed");
    status.set_claim("sealed");
    status.set_message("sealed, and not booted since: power it off and create the image");
}

Finding from_files(const Invocation& invocation, const std::string& why_no_daemon) {
    v1::NodeStatus last;
    std::string status_problem;
    const std::filesystem::path& socket = invocation.config.endpoint.socket;
    if (!socket.empty()) status_problem = read_if_possible(report::last_status_path(socket), last);
    Finding finding;
    const std::string ledger_problem =
        read_if_possible(ledger::ledger_path(invocation.state_dir), finding.view.ledger);
    v1::NodeStatus& status = finding.view.status;
    status =
        report::status_of_files(last, finding.view.ledger, report::kernel_boot_id(), why_no_daemon);
    mention_seal(invocation, status);
    // Without these warnings, missing counts would look like counts of zero.
    for (const std::string& problem : {status_problem, ledger_problem}) {
        if (!problem.empty()) status.add_warnings(problem);
    }
    return finding;
}

std::string target_of(report::Goal goal, std::chrono::seconds wait) {
    std::string target = "/v1/status";
    if (wait.count() <= 0) return target;
    target += "?wait=" + std::to_string(wait.count());
    if (goal == report::Goal::hydrated) target += "&for=hydrated";
    return target;
}

/// @throws Error as ask_node(); corrupt if the answer is not a status.
Finding from_daemon(const Invocation& invocation, report::Goal goal, std::chrono::seconds wait) {
    const std::string target = target_of(goal, wait);
    Finding finding;
    finding.document = ask_node(invocation, target, wait + kPatience);
    from_json(finding.document, finding.view.status, "prebaked's status",
              "check that prebake and prebaked have the same version");
    return finding;
}

/// Whether a retry may help: the daemon may be starting or restarting.
bool may_pass(const Error& error) {
    return error.code() == Errc::unavailable || error.code() == Errc::timed_out;
}

/// Waits until the goal is reached or hopeless, or until the time in `arguments` has passed;
/// without a time, does not wait.
Finding find_out(const Invocation& invocation, const StatusArguments& arguments) {
    if (invocation.config.endpoint.socket.empty()) {
        return from_files(invocation, "report.socket is disabled, so prebaked cannot be asked");
    }
    const Clock::time_point deadline = Clock::now() + arguments.wait.value_or(milliseconds(0));
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::seconds>(std::max(deadline - Clock::now(), {}));
        std::string why;
        try {
            Finding finding =
                from_daemon(invocation, arguments.goal, std::min(left, kLongestRequest));
            const auto rest = std::chrono::ceil<milliseconds>(deadline - Clock::now());
            const auto state = report::state_of(finding.view.status, arguments.goal);
            if (state != report::GoalState::open || rest.count() <= 0) return finding;
            sleep_for(std::min(rest, kPauseBetweenAnswers), invocation.signals.token());
            continue;
        } catch (const Error& error) {
            if (!may_pass(error)) throw;
            why = error.what();
        }
        if (Clock::now() >= deadline) return from_files(invocation, why);
        sleep_for(kRetryInterval, invocation.signals.token());
    }
}

/// Without a daemon, the conditions are those of its last status.
report::GoalState hydration_of(const v1::NodeStatus& status) {
    if (status.source() != "daemon") return report::GoalState::open;
    return report::state_of(status, report::Goal::hydrated);
}

ExitCode exit_code_of_hydration(const v1::NodeStatus& status, StatusFormat form) {
    switch (hydration_of(status)) {
        case report::GoalState::reached:
            return ExitCode::done;
        case report::GoalState::hopeless:
            return form == StatusFormat::brief ? ExitCode::failed : ExitCode::partial;
        case report::GoalState::open:
            break;
    }
    return form == StatusFormat::brief ? ExitCode::usage : ExitCode::not_ready;
}

ExitCode exit_code_for(const v1::NodeStatus& status, const StatusArguments& arguments) {
    const StatusFormat form = arguments.form;
    if (arguments.goal == report::Goal::hydrated) return exit_code_of_hydration(status, form);
    if (form == StatusFormat::brief) {
        // For node-problem-detector: 0 no problem, 1 a problem, otherwise unknown.
        if (status.ready()) return ExitCode::done;
        const bool has_problem = status.verdict() != "unknown" && status.verdict() != "sealed" &&
                                 status.verdict() != "armed";
        return has_problem ? ExitCode::failed : ExitCode::usage;
    }
    if (status.verdict() == "degraded") return ExitCode::partial;
    return status.ready() ? ExitCode::done : ExitCode::not_ready;
}

std::string metrics_of(const Invocation& invocation, const Finding& finding) {
    if (!finding.document.empty()) return ask_node(invocation, "/metrics", kPatience);
    report::ImageRows rows;
    return report::metrics_text(finding.view, rows);
}

void print(const std::string& text) {
    std::fputs(text.c_str(), stdout);
    if (!text.ends_with('\n')) std::fputc('\n', stdout);
}

/// For node-problem-detector an unknown state is not a problem of the node: it gets a line, not an
/// error.
Finding unless_failed(const Invocation& invocation, const StatusArguments& arguments) {
    try {
        return find_out(invocation, arguments);
    } catch (const Error& error) {
        if (arguments.form != StatusFormat::brief || error.code() == Errc::cancelled) throw;
        Finding finding;
        finding.view.status = report::status_of_files({}, {}, "", error.what());
        return finding;
    }
}

/// On stderr, because a node that is not hydrated may be ready.
void explain_hydration(const v1::NodeStatus& status) {
    if (hydration_of(status) == report::GoalState::reached) return;
    const auto found = std::find_if(
        status.conditions().begin(), status.conditions().end(),
        [](const v1::Condition& condition) { return condition.type() == report::kHydrated; });
    std::string why = "it is not known how far it is";
    if (status.source() != "daemon") {
        why = status.message();
    } else if (found != status.conditions().end()) {
        why = found->message();
        if (!found->next_step().empty()) why += "; " + found->next_step();
    }
    log_warning("the disk is not hydrated: " + why);
}

}  // namespace

ExitCode status_command(const Invocation& invocation, const StatusArguments& arguments) {
    if (arguments.is_trace) return print_boot_trace(invocation);
    const Finding finding = unless_failed(invocation, arguments);
    const v1::NodeStatus& status = finding.view.status;
    switch (arguments.form) {
        case StatusFormat::text:
            if (!invocation.quiet) {
                print(report::status_text(status, std::chrono::system_clock::now()));
            }
            break;
        case StatusFormat::json:
            print(report::status_json(status));
            break;
        case StatusFormat::brief:
            print(report::status_brief(status));
            break;
        case StatusFormat::prometheus:
            print(metrics_of(invocation, finding));
            break;
    }
    if (arguments.goal == report::Goal::hydrated) explain_hydration(status);
    return exit_code_for(status, arguments);
}

}  // namespace prebake::cli
