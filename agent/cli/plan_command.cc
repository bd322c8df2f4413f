#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "agent/bake/admission.h"
#include "agent/bake/plan_destinations.h"
#include "agent/bake/pull_allowance.h"
#include "agent/bake/recorded_image.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/json.h"
#include "agent/base/problem.h"
#include "agent/base/text.h"
#include "agent/cli/bake_context.h"
#include "agent/cli/commands.h"
#include "agent/cli/image_list_file.h"
#include "agent/cli/log.h"
#include "agent/cli/trace_files.h"
#include "agent/store/placements.h"
#include "proto/prebake/v1/report.pb.h"

namespace prebake::cli {
namespace {

v1::Plan document_of(const bake::Survey& survey, const std::vector<bake::PullAllowance>& allowances,
                     const std::vector<std::string>& warnings) {
    v1::Plan plan;
    plan.set_schema("prebake.v1.Plan");
    for (const bake::PlannedImage& planned : survey.plan.images) {
        v1::PlannedImage& image = *plan.add_images();
        image.set_name(bake::name_of(planned.request));
        image.set_platform(planned.request.platform->str());
        image.set_compressed_bytes(planned.compressed_bytes);
        image.set_bytes_present(planned.bytes_present);
        image.set_unpacked(planned.unpacked);
        image.set_sandbox(planned.request.is_sandbox);
        image.set_kind(bake::recorded_kind(planned.request.kind));
        for (const bake::Destination& destination :
             bake::destinations_of(planned.request, survey)) {
            v1::Destination& out = *image.add_destinations();
            out.set_store(destination.is_docker ? "docker" : "containerd");
            out.set_namespace_(destination.ns);
            out.set_driver(destination.driver);
            out.set_reason(destination.reason);
        }
        if (planned.problem) *image.mutable_problem() = problem_of(*planned.problem);
        if (!planned.image) continue;
        image.set_digest(planned.image->target.digest.str());
        image.set_layers(static_cast<std::uint32_t>(planned.image->contents.layers.size()));
        for (const trust::Proof& proof : planned.image->proofs) {
            *image.add_signatures() = bake::record_of(proof);
        }
    }
    plan.set_bytes_to_fetch(survey.plan.bytes_to_fetch);
    plan.set_bytes_present(survey.plan.bytes_present);
    plan.set_estimated_disk_bytes(survey.plan.estimated_disk_bytes);
    if (survey.free_space) {
        plan.set_free_content_bytes(survey.free_space->content_bytes);
        plan.set_free_snapshot_bytes(survey.free_space->snapshot_bytes);
    }
    for (const std::string& warning : warnings) plan.add_warnings(warning);
    for (const bake::PullAllowance& allowance : allowances) {
        v1::RateLimit& limit = *plan.add_rate_limits();
        limit.set_registry(allowance.registry);
        limit.set_pulls_needed(allowance.needed);
        limit.set_remaining(allowance.limit.remaining);
        limit.set_limit(allowance.limit.limit);
        const auto window = allowance.limit.window.value_or(std::chrono::seconds(0));
        limit.set_window_seconds(static_cast<std::uint64_t>(window.count()));
        limit.set_source(allowance.limit.source);
    }
    return plan;
}

/// ", signed by cosign.pub"; empty if no signature is required.
std::string signed_by(const bake::ResolvedImage& image) {
    std::vector<std::string> keys;
    for (const trust::Proof& proof : image.proofs) {
        keys.push_back(std::filesystem::path(proof.key_file).filename().string());
    }
    return keys.empty() ? "" : ", signed by " + joined(keys);
}

void print_table(const bake::Survey& survey, const std::vector<bake::PullAllowance>& allowances) {
    std::vector<std::vector<std::string>> rows{
        {"IMAGE", "DIGEST", "PLATFORM", "LAYERS", "COMPRESSED", "PRESENT", "INTO", "STATE"}};
    std::vector<std::string> reasons;
    for (const bake::PlannedImage& planned : survey.plan.images) {
        const auto destinations = bake::destinations_of(planned.request, survey);
        const std::string into = bake::short_form(destinations);
        for (const bake::Destination& destination : destinations) {
            if (planned.request.is_sandbox) continue;
            std::string reason = bake::short_form({destination}) + ": " + destination.reason;
            if (std::ranges::find(reasons, reason) == reasons.end()) {
                reasons.push_back(std::move(reason));
            }
        }
        std::string why = planned.request.is_sandbox ? " (needed by CRI)" : "";
        if (planned.request.kind != bake::ImageKind::image) {
            why += " (" + std::string(bake::to_string(planned.request.kind)) + ")";
        }
        if (!planned.image) {
            rows.push_back({bake::name_of(planned.request), "-", planned.request.platform->str(),
                            "-", "-", "-", into,
                            "problem: " + std::string(to_string(planned.problem->code())) + why});
            continue;
        }
        const bool is_complete =
            planned.bytes_present == planned.compressed_bytes && planned.unpacked;
        rows.push_back(
            {bake::name_of(planned.request), planned.image->target.digest.short_form(),
             planned.request.platform->str(), std::to_string(planned.image->contents.layers.size()),
             format_bytes(planned.compressed_bytes), format_bytes(planned.bytes_present), into,
             (is_complete ? "present" : "to bake") + signed_by(*planned.image) + why});
    }
    std::fputs(format_table(rows, {3, 4, 5}).c_str(), stdout);
    const bake::Plan& plan = survey.plan;
    std::printf("to fetch: %s; already present: %s; disk needed: about %s",
                format_bytes(plan.bytes_to_fetch).c_str(), format_bytes(plan.bytes_present).c_str(),
                format_bytes(plan.estimated_disk_bytes).c_str());
    if (survey.free_space) {
        std::printf("; disk free: %s", format_bytes(survey.free_space->content_bytes).c_str());
        if (!survey.free_space->on_one_disk) {
            std::printf(" for content, %s for snapshots",
                        format_bytes(survey.free_space->snapshot_bytes).c_str());
        }
    }
    std::printf("\n");
    for (const std::string& reason : reasons) std::printf("%s\n", reason.c_str());
    for (const bake::PullAllowance& allowance : allowances) {
        std::printf("%s\n", bake::describe(allowance).c_str());
    }
}

/// The requests that could be resolved, with their digests. Namespaces that equal the default stay
/// unset. The platform is always set, because a digest may be for only one platform.
std::vector<bake::ImageRequest> locked(const bake::Survey& survey,
                                       const std::vector<std::string>& default_namespaces) {
    std::vector<bake::ImageRequest> requests;
    for (const bake::PlannedImage& planned : survey.plan.images) {
        if (planned.problem) continue;
        bake::ImageRequest& request = requests.emplace_back(planned.request);
        request.reference.digest = planned.image->target.digest;
        if (request.in_graph_driver) request.namespaces.emplace_back(store::kDockerNamespace);
        if (request.namespaces == default_namespaces) request.namespaces.clear();
    }
    return requests;
}

}  // namespace

ExitCode plan_command(const Invocation& invocation, const PlanArguments& arguments) {
    const bool is_lock_printed = arguments.lock_file == "-";
    if (is_lock_printed && invocation.json) {
        throw Error(Errc::usage, "--lock - and --json both write to standard output",
                    "use one of the two, or name a file for the lock");
    }
    std::vector<std::string> warnings = bake::warnings_for(arguments.images);
    read_trace_files(invocation.config, arguments.images, warnings);  // it finds what bake would
    for (const std::string& warning : warnings) log_warning(warning);
    BakeContext context(invocation, log_warning);
    const bake::Survey survey = context.survey(invocation, arguments.images, warnings);
    const auto allowances = bake::pull_allowances(survey.plan, survey.rate_limits);
    for (const bake::PullAllowance& allowance : allowances) {
        const std::string warning = bake::warning_about(allowance);
        if (warning.empty()) continue;
        log_warning(warning);
        warnings.push_back(warning);
    }

    if (invocation.json) {
        std::puts(to_json(document_of(survey, allowances, warnings), JsonForm::indented).c_str());
    } else if (!invocation.quiet && !is_lock_printed) {
        print_table(survey, allowances);
    }
    const Error* first = nullptr;
    std::size_t problems = 0;
    bool is_only_sandbox = true;
    for (const bake::PlannedImage& planned : survey.plan.images) {
        if (!planned.problem) continue;
        log_error(planned.problem->within("image " + bake::name_of(planned.request)));
        if (problems++ == 0) first = &*planned.problem;
        is_only_sandbox = is_only_sandbox && planned.request.is_sandbox;
    }
    ExitCode code = ExitCode::done;
    if (problems > 0) {
        const bool is_all = problems == survey.plan.images.size();
        code = is_all ? exit_code_of(first->code()) : ExitCode::partial;
    }
    if (arguments.lock_file.empty()) return code;
    // The list does not name the sandbox image.
    if (problems > 0 && !is_only_sandbox) {
        log_warning("no lock written: not every image could be resolved");
        return code;
    }
    const std::string lock = lock_text(locked(survey, invocation.config.namespaces));
    if (is_lock_printed) {
        std::fputs(lock.c_str(), stdout);
    } else {
        write_file_durably(arguments.lock_file, lock, 0644);
    }
    return code;
}

}  // namespace prebake::cli
