#include <algorithm>
#include <chrono>
#include <cstdio>

#include "agent/base/boot.h"
#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/json.h"
#include "agent/cli/commands.h"
#include "agent/cli/log.h"
#include "agent/cli/runtime_directory.h"
#include "agent/containerd/connection.h"
#include "agent/hydrate/boot_recorder.h"
#include "agent/hydrate/documents.h"
#include "agent/hydrate/residency.h"
#include "agent/hydrate/trace.h"
#include "agent/hydrate/trace_check.h"
#include "agent/store/record.h"

namespace prebake::cli {
namespace {

constexpr std::chrono::minutes kBootDefault{3};
/// Below Run Command's 24,000 characters, with room for what comes before.
constexpr std::size_t kMaxTextCharacters = 23'000;

v1::RecordReport boot_report(const hydrate::BootRecording& recording, double seconds,
                             bool is_stopped, const std::string& file) {
    v1::RecordReport report;
    report.set_schema("prebake.v1.RecordReport");
    report.set_end(is_stopped ? "stopped" : "time");
    report.set_seconds(seconds);
    report.set_files(hydrate::traced_files(recording.trace));
    report.set_bytes(hydrate::traced_bytes(recording.trace));
    report.set_method(std::string(to_string(hydrate::residency_method())));
    report.set_trace(file);
    report.set_chunks(recording.chunks);
    return report;
}

/// Without containerd the blocks alone are recorded.
void add_layers_or_warn(const Invocation& invocation, double seconds,
                        hydrate::BootRecording& recording) {
    try {
        const v1::BakeRecord record = store::read_record_or_empty(invocation.state_dir);
        // Without a stop: that only ends the recording.
        const containerd::Connection connection(invocation.config.address, {});
        hydrate::add_cached_layers(connection, record, seconds, recording);
    } catch (const Error& error) {
        recording.warnings.push_back("what was read of images is not known: " + error.message());
    }
}

}  // namespace

ExitCode record_boot_command(const Invocation& invocation, const RecordArguments& arguments) {
    hydrate::BlockTrace blocks(runtime_directory(invocation.config));
    const auto start = std::chrono::steady_clock::now();
    const std::chrono::milliseconds time = arguments.time_limit.value_or(kBootDefault);
    log_info("recording what is read of disks for " +
             format_duration(std::chrono::duration<double>(time)));
    blocks.follow(start + time, invocation.signals.token());
    hydrate::BootRecording recording;
    hydrate::add_volumes(blocks.read(), recording);
    if (blocks.lost_events() > 0) {
        recording.warnings.push_back(counted(blocks.lost_events(), "read") +
                                     " came too fast to be recorded");
    }
    const double seconds = std::chrono::duration<double>(uptime()).count();
    add_layers_or_warn(invocation, seconds, recording);
    for (const std::string& warning : recording.warnings) log_warning(warning);
    recording.trace.set_schema(hydrate::kTraceSchema);
    recording.trace.set_prebake_version(PREBAKE_VERSION);
    const std::string file = arguments.output_file.empty()
                                 ? hydrate::boot_trace_path(invocation.state_dir).string()
                                 : arguments.output_file;
    if (file == "-") {
        std::fputs(hydrate::trace_json(recording.trace).c_str(), stdout);
        return ExitCode::done;
    }
    hydrate::write_trace(file, recording.trace);
    const v1::RecordReport report =
        boot_report(recording, seconds, invocation.signals.token().stop_requested(), file);
    if (invocation.json) {
        std::puts(to_json(report, JsonForm::indented).c_str());
    } else if (!invocation.quiet) {
        std::printf("%s of disks and %s of layers were read\ntrace: %s\n",
                    format_bytes(recording.chunks * hydrate::kChunkBytes).c_str(),
                    counted(report.files(), "file").c_str(), file.c_str());
    }
    return ExitCode::done;
}

ExitCode print_boot_trace(const Invocation& invocation) {
    const std::filesystem::path path = hydrate::boot_trace_path(invocation.state_dir);
    std::string text;
    try {
        text = read_file(path, hydrate::kMaxTraceBytes);
    } catch (const Error& error) {
        if (error.code() != Errc::not_found) throw;
        throw Error(Errc::not_found, "no boot of this machine was recorded",
                    "run prebake record --boot when it boots");
    }
    const v1::ReadTrace trace = hydrate::parse_trace(text, path.string());
    if (invocation.json) {
        std::fputs(hydrate::trace_json(trace).c_str(), stdout);
    } else {
        std::fputs(hydrate::trace_text(trace, kMaxTextCharacters).c_str(), stdout);
    }
    return ExitCode::done;
}

}  // namespace prebake::cli
