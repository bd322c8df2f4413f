#include <cstdio>
#include <filesystem>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/json.h"
#include "agent/cli/commands.h"
#include "agent/cli/log.h"
#include "agent/cli/metadata_http.h"
#include "agent/identity/firstboot/first_boot.h"
#include "agent/report/ssm_inventory.h"
#include "agent/report/status_holder.h"

namespace prebake::cli {
namespace {

/// If it exists, prebake-firstboot.service starts prebake-online.service. Other boots must not wait
/// for that unit.
constexpr const char* kOnlineNeeded = "/run/prebake/online-needed";

/// A complete claim may belong to another instance: then only the network can identify this one.
bool is_online_needed(const v1::FirstBootReport& report) {
    return report.claim().state() != v1::Claim::CLAIMED || report.decision() == "deferred";
}

void announce(const v1::FirstBootReport& report) {
    if (is_online_needed(report)) {
        write_file_durably(kOnlineNeeded, "", 0644);
    } else {
        std::error_code ignored;  // at most boots there is none
        std::filesystem::remove(kOnlineNeeded, ignored);
    }
}

/// The SSM agent starts after us and must find data of this instance. The daemon updates it later.
void write_first_inventory(const v1::Claim& claim) {
    report::NodeView view = *report::StatusHolder().latest();
    *view.status.mutable_instance() = claim.instance();
    view.status.set_prebake_version(PREBAKE_VERSION);
    try {
        const std::string left_undone =
            report::write_inventory("/", claim.instance().id(), report::inventory_of(view));
        if (!left_undone.empty()) log_warning(left_undone);
    } catch (const Error& error) {
        log_warning(error.what());
    }
}

const char* word_for(v1::Step::Outcome outcome) {
    switch (outcome) {
        case v1::Step::DONE:
            return "done";
        case v1::Step::DELEGATED:
            return "left to its owner";
        case v1::Step::FAILED:
            return "FAILED";
        case v1::Step::OUTCOME_UNSPECIFIED:
        case v1::Step_Outcome_Step_Outcome_INT_MIN_SENTINEL_DO_NOT_USE_:
        case v1::Step_Outcome_Step_Outcome_INT_MAX_SENTINEL_DO_NOT_USE_:
            break;
    }
    return "";
}

std::string name_of(const v1::Instance& instance) {
    if (!instance.id().empty()) return instance.id();
    if (!instance.hardware_uuid().empty()) return instance.hardware_uuid();
    return "an unknown instance";
}

/// One summary line, and a line for each step of this claim, for the journal.
void print_text(const v1::FirstBootReport& report) {
    const v1::Claim& claim = report.claim();
    if (report.decision() == "already_claimed") {
        std::printf("already claimed by %s; nothing to do\n", name_of(claim.instance()).c_str());
        return;
    }
    if (report.decision() == "deferred") {
        std::puts("the instance is not known before the network is up; nothing done yet");
        return;
    }
    for (const v1::Step& step : claim.steps()) {
        std::printf("%s: %s%s%s\n", step.name().c_str(), word_for(step.outcome()),
                    step.message().empty() ? "" : ": ", step.message().c_str());
    }
    if (claim.unsealed_in_place()) {
        std::puts(
            "unsealed in place: this is the machine that was sealed; seal it again before a "
            "snapshot");
    }
    if (claim.has_cloned_from()) {
        std::printf("cloned from %s, which was not sealed: its identity was removed\n",
                    name_of(claim.cloned_from()).c_str());
    }
    std::printf("%s by %s (%s)\n",
                claim.state() == v1::Claim::CLAIMED ? "claimed" : "being claimed",
                name_of(claim.instance()).c_str(),
                format_duration(std::chrono::duration<double>(report.seconds())).c_str());
}

}  // namespace

ExitCode firstboot_command(const Invocation& invocation, const FirstBootArguments& arguments) {
    const machine::Root root("/");
    identity::firstboot::FirstBootOptions options = invocation.config.first_boot;
    options.state_dir = invocation.state_dir.string();
    options.prebake_version = PREBAKE_VERSION;
    options.scope = invocation.config.seal;
    const auto metadata = make_metadata_client();
    const v1::FirstBootReport report = identity::firstboot::first_boot(
        root, arguments.stage, options, metadata.get(), {}, invocation.signals.token());
    for (const std::string& warning : report.warnings()) log_warning(warning);
    announce(report);
    if (invocation.config.ssm_inventory && report.claim().state() == v1::Claim::CLAIMED) {
        write_first_inventory(report.claim());
    }
    bool has_failed = false;
    for (const v1::Step& step : report.claim().steps()) {
        if (step.outcome() != v1::Step::FAILED) continue;
        has_failed = true;
        log_error(Error(Errc::failed_precondition,
                        "first boot: " + step.name() + ": " + step.problem().message(),
                        step.problem().next_step()));
    }
    if (invocation.json) {
        std::puts(to_json(report, JsonForm::indented).c_str());
    } else if (!invocation.quiet) {
        print_text(report);
    }
    return has_failed ? ExitCode::partial : ExitCode::done;
}

}  // namespace prebake::cli
