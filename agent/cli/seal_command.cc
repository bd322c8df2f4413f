#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <optional>
#include <set>
#include <string>

#include "agent/base/error.h"
#include "agent/base/json.h"
#include "agent/cli/commands.h"
#include "agent/cli/leftover_containers.h"
#include "agent/cli/log.h"
#include "agent/cli/residue_report.h"
#include "agent/cli/seal_at_shutdown.h"
#include "agent/cli/stopped_units.h"
#include "agent/identity/residue.h"
#include "agent/identity/seal.h"
#include "agent/store/record.h"

namespace prebake::cli {
namespace {

std::string_view to_string(identity::Target::What what) {
    switch (what) {
        case identity::Target::What::file:
            return "remove";
        case identity::Target::What::contents:
            return "remove all in";
        case identity::Target::What::bytes:
            return "empty";
        case identity::Target::What::all_bytes:
            return "empty all files in";
    }
    return "";
}

std::string_view to_string(identity::Default by_default) {
    switch (by_default) {
        case identity::Default::on:
            return "on";
        case identity::Default::off:
            return "off";
        case identity::Default::report:
            return "report";
    }
    return "";
}

v1::IdentityItems list_of_items() {
    v1::IdentityItems list;
    list.set_schema("prebake.v1.IdentityItems");
    for (const identity::Item& item : identity::items()) {
        v1::IdentityItem& out = *list.add_items();
        out.set_name(std::string(item.name));
        out.set_order(static_cast<std::uint32_t>(list.items_size()));
        out.set_default_(std::string(to_string(item.by_default)));
        out.set_why(std::string(item.why));
        out.set_back(std::string(item.regeneration));
        for (const identity::Target& target : item.targets) {
            out.add_targets(std::string(to_string(target.what)) + " " +
                            std::string(target.pattern));
        }
        if (!item.extra_description.empty()) out.add_targets(std::string(item.extra_description));
        for (const std::string_view proof : item.proofs) out.add_proofs(std::string(proof));
        out.set_renewed_on_clones(item.on_clone == identity::OnClone::renew);
    }
    return list;
}

void print_items(const v1::IdentityItems& list) {
    for (const v1::IdentityItem& item : list.items()) {
        std::printf("%s (%s)\n  why         %s\n  comes back  %s\n", item.name().c_str(),
                    item.default_().c_str(), item.why().c_str(), item.back().c_str());
        for (const std::string& target : item.targets()) std::printf("  - %s\n", target.c_str());
    }
}

/// Asks a human at a terminal, because a seal cannot be undone. Does not ask a pipeline.
/// @throws Error cancelled.
void require_confirmation(const SealArguments& arguments) {
    if (arguments.is_sure || isatty(STDIN_FILENO) == 0) return;
    std::fprintf(stderr,
                 "This removes the identity, the credentials and the logs of %s. Continue? [y/N] ",
                 arguments.root == "/" ? "this machine" : arguments.root.c_str());
    std::string answer;
    std::getline(std::cin, answer);
    if (answer == "y" || answer == "Y" || answer == "yes") return;
    throw Error(Errc::cancelled, "nothing was sealed", "answer y, or give --yes");
}

const char* sealed_word(v1::SealedItem::Outcome outcome, bool is_dry_run) {
    switch (outcome) {
        case v1::SealedItem::CLEAN:
            return "clean";
        case v1::SealedItem::CHANGED:
            return is_dry_run ? "would change" : "sealed";
        case v1::SealedItem::SKIPPED:
            return "skipped";
        case v1::SealedItem::FAILED:
            return "FAILED";
        case v1::SealedItem::NOTED:
            return "left on purpose";
        case v1::SealedItem::OUTCOME_UNSPECIFIED:
        case v1::SealedItem_Outcome_SealedItem_Outcome_INT_MIN_SENTINEL_DO_NOT_USE_:
        case v1::SealedItem_Outcome_SealedItem_Outcome_INT_MAX_SENTINEL_DO_NOT_USE_:
            break;
    }
    return "";
}

void print_item(const v1::SealedItem& item, bool is_dry_run) {
    const int links = item.not_followed_size();
    if (item.outcome() == v1::SealedItem::CLEAN && links == 0) return;
    std::string line;
    if (item.outcome() != v1::SealedItem::CLEAN) line = sealed_word(item.outcome(), is_dry_run);
    if (item.changes_size() > 0) line += " (" + std::to_string(item.changes_size()) + ")";
    if (links > 0) {
        line += (line.empty() ? "" : ", ") + std::to_string(links) +
                (links == 1 ? " link not followed" : " links not followed");
    }
    std::printf("%s: %s\n", item.name().c_str(), line.c_str());
    if (is_dry_run) {
        for (const v1::PathChange& change : item.changes()) {
            std::printf("  %s %s\n", change.kind().c_str(), change.path().c_str());
        }
    }
}

void print_report(const v1::SealReport& report) {
    for (const v1::SealedItem& item : report.items()) print_item(item, report.dry_run());
    std::printf("%s: %u changes, %d items, %u failures\n",
                report.dry_run()       ? "nothing was changed (dry run)"
                : report.failed() == 0 ? "sealed"
                                       : "NOT SEALED",
                report.changes(), report.items_size(), report.failed());
}

void log_problems(const v1::SealReport& report) {
    for (const v1::Step& step : report.steps()) {
        if (step.outcome() == v1::Step::FAILED) {
            log_warning(step.name() + ": " + step.problem().message());
        }
    }
    std::set<std::string> known_links;
    for (const v1::SealedItem& item : report.items()) {
        for (const v1::Problem& problem : item.problems()) {
            log_error(Error(Errc::io, item.name() + ": " + problem.message(), problem.next_step()));
        }
        for (const v1::Problem& link : item.not_followed()) {
            // Many items may meet one link.
            if (!known_links.insert(link.message()).second) continue;
            log_warning(item.name() + ": " + link.message() + "; " + link.next_step());
        }
    }
}

std::vector<std::string> units_to_stop(const Invocation& invocation,
                                       const SealArguments& arguments) {
    if (!machine::Root(arguments.root).is_running_machine()) return {};
    return identity::units_to_stop_now(
        {identity::StopPhase::orchestrators, identity::StopPhase::writers},
        invocation.config.services, invocation.signals.token());
}

ExitCode check(const Invocation& invocation, const SealArguments& arguments) {
    const machine::Root root(arguments.root);
    const v1::ResidueReport report = identity::check(root,
                                                     {.scope = arguments.scope,
                                                      .search = invocation.config.search,
                                                      .limits = invocation.config.scan,
                                                      .state_dir = invocation.state_dir.string()},
                                                     invocation.signals.token());
    if (invocation.json) {
        std::puts(to_json(report, JsonForm::indented).c_str());
    } else {
        print_residue(report, invocation.quiet);
    }
    return report.residue().empty() ? ExitCode::done : ExitCode::not_ready;
}

/// 0 if the record cannot be read: then a node cannot tell that it vanished.
std::uint32_t number_of_baked_images(const machine::Root& root, const Invocation& invocation) {
    const std::string path = store::record_path(invocation.state_dir).string();
    try {
        const std::optional<std::string> text = root.read(path, store::kMaxRecordBytes);
        v1::BakeRecord record;
        if (text) from_json(*text, record, root.outside(path).string(), "");
        return static_cast<std::uint32_t>(record.images_size());
    } catch (const Error& error) {
        log_warning(error.what());
        return 0;
    }
}

}  // namespace

v1::SealReport seal_now(const Invocation& invocation, const SealArguments& arguments,
                        identity::Occasion occasion) {
    const machine::Root root(arguments.root);
    identity::SealOptions options{
        .scope = arguments.scope,
        .mode = arguments.is_dry_run ? identity::SealMode::dry_run : identity::SealMode::seal,
        .occasion = occasion,
        .services = invocation.config.services,
        .state_dir = invocation.state_dir.string()};
    options.prebake_version = PREBAKE_VERSION;
    options.baked_images = number_of_baked_images(root, invocation);
    options.remove_containers = [&] { remove_leftover_containers(invocation, arguments.scope); };
    v1::SealReport report = identity::seal(root, options, invocation.signals.token());
    if (invocation.json) {
        std::puts(to_json(report, JsonForm::indented).c_str());
    } else if (!invocation.quiet) {
        print_report(report);
    }
    log_problems(report);
    return report;
}

ExitCode seal_command(const Invocation& invocation, const SealArguments& arguments) {
    switch (arguments.action) {
        case SealAction::list:
            if (invocation.json) {
                std::puts(to_json(list_of_items(), JsonForm::indented).c_str());
            } else {
                print_items(list_of_items());
            }
            return ExitCode::done;
        case SealAction::check:
            return check(invocation, arguments);
        case SealAction::at_shutdown:
            identity::validate(arguments.scope);
            require_confirmation(arguments);
            arm_seal(invocation, arguments);
            return ExitCode::done;
        case SealAction::disarm:
            disarm_seal(invocation);
            return ExitCode::done;
        case SealAction::armed:
            return carry_out_armed_seal(invocation, arguments);
        case SealAction::seal:
            break;
    }
    identity::validate(arguments.scope);
    const std::vector<std::string> units = units_to_stop(invocation, arguments);
    announce_stops(invocation, units);
    if (!arguments.is_dry_run) {
        require_confirmation(arguments);
        remember_stopped(kStoppedUnitsFile, units);
    }
    const v1::SealReport report = seal_now(invocation, arguments, identity::Occasion::now);
    return report.failed() == 0 ? ExitCode::done : ExitCode::partial;
}

}  // namespace prebake::cli
