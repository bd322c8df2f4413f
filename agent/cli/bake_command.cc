#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <future>
#include <set>
#include <system_error>

#include "agent/bake/bake.h"
#include "agent/base/format.h"
#include "agent/base/json.h"
#include "agent/base/problem.h"
#include "agent/cli/bake_context.h"
#include "agent/cli/build_leftovers.h"
#include "agent/cli/commands.h"
#include "agent/cli/hydration_plan.h"
#include "agent/cli/log.h"
#include "agent/cli/trace_files.h"
#include "agent/hydrate/documents.h"
#include "agent/hydrate/trace.h"
#include "agent/identity/claim.h"
#include "agent/machine/instance.h"
#include "agent/store/record.h"
#include "proto/prebake/v1/report.pb.h"

namespace prebake::cli {
namespace {

std::string_view word_for(bake::ImageOutcome outcome) {
    switch (outcome) {
        case bake::ImageOutcome::already_there:
            return "already present";
        case bake::ImageOutcome::baked:
            return "baked";
        case bake::ImageOutcome::interrupted:
            return "interrupted";
        case bake::ImageOutcome::failed:
            return "FAILED";
    }
    return "";
}

v1::BakeResult::Outcome document_outcome(bake::ImageOutcome outcome) {
    switch (outcome) {
        case bake::ImageOutcome::already_there:
            return v1::BakeResult::ALREADY_THERE;
        case bake::ImageOutcome::baked:
            return v1::BakeResult::BAKED;
        case bake::ImageOutcome::interrupted:
            return v1::BakeResult::INTERRUPTED;
        case bake::ImageOutcome::failed:
            return v1::BakeResult::FAILED;
    }
    return v1::BakeResult::OUTCOME_UNSPECIFIED;
}

struct Sums {
    std::uint64_t fetched = 0;
    std::uint64_t reused = 0;
    std::size_t good = 0;
};

Sums sums_of(const bake::BakeResult& result) {
    Sums sums;
    for (const bake::ImageResult& image : result.images) {
        sums.fetched += image.bytes_fetched;
        sums.reused += image.bytes_reused;
        if (image.is_usable()) ++sums.good;
    }
    return sums;
}

v1::BakeReport document_of(const bake::BakeResult& result,
                           const std::vector<std::string>& warnings) {
    v1::BakeReport report;
    report.set_schema("prebake.v1.BakeReport");
    for (const bake::ImageResult& image : result.images) {
        v1::BakeResult& out = *report.add_images();
        out.set_name(image.name);
        out.set_platform(image.platform);
        out.set_outcome(document_outcome(image.outcome));
        if (image.digest) out.set_digest(image.digest->str());
        for (const v1::Placement& placement : image.placements) *out.add_placements() = placement;
        for (const v1::Signature& signature : image.signatures) *out.add_signatures() = signature;
        out.set_bytes_fetched(image.bytes_fetched);
        out.set_bytes_reused(image.bytes_reused);
        out.set_seconds(image.seconds.count());
        out.set_sandbox(image.is_sandbox);
        if (image.problem) *out.mutable_problem() = problem_of(*image.problem);
    }
    const Sums sums = sums_of(result);
    report.set_bytes_fetched(sums.fetched);
    report.set_bytes_reused(sums.reused);
    report.set_seconds(result.seconds.count());
    for (const std::string& warning : warnings) report.add_warnings(warning);
    if (result.record_problem)
        *report.mutable_record_problem() = problem_of(*result.record_problem);
    report.set_layers_in_place(result.stored_layers.in_place);
    report.set_layers_streamed(result.stored_layers.streamed);
    report.set_streamed_because(result.stored_layers.streamed_because.value_or(""));
    report.set_layers_unpacked(result.unpacked.written);
    report.set_layers_unpacked_by_containerd(result.unpacked.applied);
    if (result.unpacked.applied > 0) {
        report.set_unpacked_by_containerd_because(result.unpacked.obstacle);
    }
    report.mutable_stage_seconds()->insert(result.stage_seconds.begin(),
                                           result.stage_seconds.end());
    return report;
}

/// How the layers were stored and unpacked. A fallback to a slower way is visible; that small
/// layers are streamed is no news.
void print_ways(const bake::BakeResult& result) {
    const bake::StoredLayers& stored = result.stored_layers;
    if (stored.streamed_because && stored.streamed > 0) {
        std::printf("%s streamed through containerd: %s\n",
                    counted(stored.streamed, "layer").c_str(), stored.streamed_because->c_str());
    } else if (stored.in_place > 0) {
        std::printf("%s written in place\n", counted(stored.in_place, "layer").c_str());
    }
    if (result.unpacked.applied > 0) {
        const std::string& why = result.unpacked.obstacle;
        std::printf("%s unpacked by containerd%s\n",
                    counted(result.unpacked.applied, "layer").c_str(),
                    why.empty() ? "" : (": " + why).c_str());
    }
}

void print_table(const bake::BakeResult& result) {
    std::vector<std::vector<std::string>> rows{
        {"IMAGE", "DIGEST", "FETCHED", "REUSED", "TIME", "RESULT"}};
    for (const bake::ImageResult& image : result.images) {
        rows.push_back(
            {image.name, image.digest ? image.digest->short_form() : "-",
             format_bytes(image.bytes_fetched), format_bytes(image.bytes_reused),
             format_duration(image.seconds),
             std::string(word_for(image.outcome)) + (image.is_sandbox ? " (needed by CRI)" : "")});
    }
    std::fputs(format_table(rows, {2, 3, 4}).c_str(), stdout);
    const Sums sums = sums_of(result);
    std::printf(
        "%zu of %zu images usable; %s; %s\n", sums.good, result.images.size(),
        sums.fetched == 0 ? "nothing fetched" : ("fetched " + format_bytes(sums.fetched)).c_str(),
        format_duration(result.seconds).c_str());
    print_ways(result);
}

/// Where the time went, and how the layers were stored and unpacked.
void log_work(const bake::BakeResult& result) {
    log_debug("layers: " + std::to_string(result.stored_layers.in_place) + " stored in place, " +
              std::to_string(result.stored_layers.streamed) + " streamed, " +
              std::to_string(result.unpacked.written) + " unpacked by prebake, " +
              std::to_string(result.unpacked.applied) + " by containerd");
    std::string line;
    for (const auto& [stage, seconds] : result.stage_seconds) {
        line += (line.empty() ? "" : ", ") + stage + " " +
                format_duration(std::chrono::duration<double>(seconds));
    }
    log_debug("time of all threads: " + line);
}

/// Clones of a builder that is never sealed can be detected then. Sealing needs root anyway, so a
/// bake without root loses only this hint.
void note_builder(const Invocation& invocation) {
    try {
        const machine::Root root("/");
        identity::note_builder(root, invocation.state_dir.string(),
                               machine::identify(machine::read_host_facts(root)));
    } catch (const Error& error) {
        log_warning("this machine was not recorded as the builder: " + error.message());
    }
}

/// The images are baked: without traces they are only hydrated in another order.
void keep_traces_or_warn(const Invocation& invocation,
                         const std::vector<hydrate::NamedTrace>& traces,
                         const bake::BakeResult& result, std::vector<std::string>& warnings) {
    std::set<std::string> baked;
    for (const bake::ImageResult& image : result.images) baked.insert(image.name);
    try {
        const std::vector<std::string> dropped = keep_traces(
            invocation.state_dir, traces, store::read_record_or_empty(invocation.state_dir), baked);
        for (const std::string& text : dropped) warnings.push_back(text);
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) throw;
        warnings.push_back("traces are not kept: " + error.message());
    }
}

/// What nodes with lazy disks will read ahead, and how long it took to find out. A bake without
/// that plan is still good.
std::optional<v1::ColdBytes> plan_hydration(const Invocation& invocation,
                                            const BakeContext& context,
                                            std::vector<std::string>& warnings) {
    const auto begin = std::chrono::steady_clock::now();
    try {
        const bake::DockerTarget* const docker = context.docker();
        std::future<std::vector<v1::BuildLeftovers>> leftovers;
        const std::optional<hydrate::MadePlan> made = update_hydration_plan(
            invocation.state_dir, store::read_record_or_empty(invocation.state_dir),
            hydrate::read_traces(invocation.state_dir),
            {.containerd = context.connection, .docker = docker ? &docker->engine : nullptr},
            // Both look at some ten thousand files.
            [&] {
                leftovers =
                    std::async(std::launch::async, [] { return find_build_leftovers("/"); });
            });
        if (!made) return std::nullopt;
        v1::ColdBytes cold;
        cold.set_chunks(made->cold.chunks);
        cold.set_bytes(made->cold.bytes());
        cold.set_traced_chunks(made->cold.traced_chunks);
        cold.set_traced_bytes(made->cold.traced_bytes);
        cold.set_amplification(made->cold.amplification());
        cold.set_untraced_images(made->cold.untraced_images);
        for (const std::string& note : made->notes) cold.add_notes(note);
        try {
            for (v1::BuildLeftovers& left : leftovers.get()) {
                *cold.add_left_by_build() = std::move(left);
            }
        } catch (const Error& error) {
            cold.add_notes("what the build left is not known: " + error.message());
        }
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
        cold.set_seconds(seconds.count());
        return cold;
    } catch (const Error& error) {
        // With the plan of before, nodes would call themselves hydrated without the new images.
        std::error_code ignored;  // usually the reason of the error, too
        std::filesystem::remove(hydrate::plan_path(invocation.state_dir), ignored);
        warnings.emplace_back(error.within("nodes will not read ahead: no hydration plan").what());
        log_warning(warnings.back());
        return std::nullopt;
    }
}

/// What a disk that loads lazily costs the nodes.
void print_cold(const v1::ColdBytes& cold) {
    std::printf("cold on a disk that loads lazily: %s (%s)", format_bytes(cold.bytes()).c_str(),
                counted(cold.chunks(), "chunk").c_str());
    if (cold.traced_bytes() > 0) {
        std::printf("; recorded: %s in %s, %.1f times what is read",
                    format_bytes(cold.traced_bytes()).c_str(),
                    counted(cold.traced_chunks(), "chunk").c_str(), cold.amplification());
    }
    std::puts("");
    for (const std::string& note : cold.notes()) std::printf("  %s\n", note.c_str());
    for (const v1::BuildLeftovers& left : cold.left_by_build()) {
        std::printf("left by the build in the snapshot: %s\n", describe(left).c_str());
    }
}

ExitCode exit_code_of_result(const bake::BakeResult& result, const BakeArguments& arguments,
                             const StopSignals& signals) {
    const auto has = [&](bake::ImageOutcome outcome) {
        return std::any_of(result.images.begin(), result.images.end(),
                           [&](const auto& image) { return image.outcome == outcome; });
    };
    if (has(bake::ImageOutcome::interrupted)) {
        return interruption_code(signals);
    }
    if (result.record_problem) return ExitCode::failed;
    if (result.cri_doubt && arguments.require_cri) return ExitCode::failed;
    if (!has(bake::ImageOutcome::failed)) return ExitCode::done;
    // A bake of which nothing but the sandbox image succeeded is not partial.
    const bool has_good =
        std::any_of(result.images.begin(), result.images.end(),
                    [](const auto& image) { return !image.is_sandbox && image.is_usable(); });
    if (has_good) return ExitCode::partial;
    // A permanent failure takes precedence over a temporary one.
    ExitCode code = ExitCode::try_again;
    for (const bake::ImageResult& image : result.images) {
        if (!image.problem) continue;
        const ExitCode own = exit_code_of(image.problem->code());
        if (own != ExitCode::try_again) code = own;
    }
    return code;
}

}  // namespace

ExitCode bake_command(const Invocation& invocation, const BakeArguments& arguments) {
    std::vector<std::string> warnings = bake::warnings_for(arguments.images);
    const std::vector<hydrate::NamedTrace> traces =
        read_trace_files(invocation.config, arguments.images, warnings);
    for (const std::string& warning : warnings) log_warning(warning);
    auto progress = make_progress(invocation.quiet ? ProgressStyle::none : arguments.progress);
    const auto notice = [&](const std::string& message) {
        progress->on_event({.kind = bake::EventKind::notice, .message = message});
    };
    BakeContext context(invocation, notice);
    const bake::BakeLock lock(invocation.state_dir,
                              {.time_limit = arguments.lock_timeout, .on_wait = notice},
                              invocation.signals.token());
    const bake::Survey survey = context.survey(invocation, arguments.images, warnings);
    bake::BakeOptions options = bake_options(invocation);
    options.leaves_sandbox_out = invocation.config.sandbox == bake::SandboxRule::never;
    if (arguments.ignore_space) options.space_check = bake::SpaceCheck::ignore;
    const bake::BakeResult result = bake::bake(lock, survey, options, context.remote,
                                               context.connection, context.docker(), *progress);
    progress.reset();
    if (result.stored_layers.streamed_because) {
        log_debug("layers are not written in place: " + *result.stored_layers.streamed_because);
    }
    log_work(result);
    std::optional<v1::ColdBytes> cold;
    if (!result.record_problem) {
        note_builder(invocation);
        const std::size_t known = warnings.size();
        keep_traces_or_warn(invocation, traces, result, warnings);
        for (std::size_t i = known; i < warnings.size(); ++i) log_warning(warnings[i]);
        cold = plan_hydration(invocation, context, warnings);
    }
    if (result.cri_doubt) warnings.emplace_back(result.cri_doubt->what());

    if (invocation.json) {
        v1::BakeReport document = document_of(result, warnings);
        if (cold) *document.mutable_cold() = *cold;
        std::puts(to_json(document, JsonForm::indented).c_str());
    } else if (!invocation.quiet) {
        print_table(result);
        if (cold) print_cold(*cold);
    }
    bool is_interrupted = false;
    for (const bake::ImageResult& image : result.images) {
        if (image.outcome == bake::ImageOutcome::failed)
            log_error(image.problem->within("image " + image.name));
        is_interrupted = is_interrupted || image.outcome == bake::ImageOutcome::interrupted;
    }
    if (result.record_problem) log_error(*result.record_problem);
    if (result.cri_doubt) {
        if (arguments.require_cri) {
            log_error(*result.cri_doubt);
        } else {
            log_warning(result.cri_doubt->what());
        }
    }
    if (is_interrupted) {
        log_error(Error(
            Errc::cancelled, "interrupted",
            "fetched content is kept for 24 hours or until another bake completes: run the same "
            "command again to resume"));
    }
    return exit_code_of_result(result, arguments, invocation.signals);
}

}  // namespace prebake::cli
