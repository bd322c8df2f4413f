#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/json.h"
#include "agent/base/text.h"
#include "agent/cli/bake_context.h"
#include "agent/cli/commands.h"
#include "agent/cli/log.h"
#include "agent/cli/runtime_directory.h"
#include "agent/cli/trace_files.h"
#include "agent/containerd/connection.h"
#include "agent/hydrate/recorder.h"
#include "agent/hydrate/trace.h"
#include "agent/store/placements.h"
#include "agent/store/record.h"

namespace prebake::cli {
namespace {

/// Of a container's output, if it fails.
constexpr std::size_t kShownLines = 20;
constexpr std::chrono::minutes kReadyDefault{5};
constexpr std::chrono::minutes kStartDefault{1};

/// The image to record if none is named: the only one that was baked.
std::string only_image(const Invocation& invocation, const containerd::Connection& connection) {
    const v1::BakeRecord record =
        store::only_in_containerd(store::read_record_or_empty(invocation.state_dir));
    std::vector<std::string> names;
    for (const v1::BakedImage& image : record.images()) {
        if (!image.chain_id().empty()) names.push_back(image.name());
    }
    // A bake adds CRI's sandbox image, which reads next to nothing.
    if (names.size() > 1) {
        std::erase(names, wanted_sandbox(invocation.config, connection).name);
    }
    if (names.size() == 1) return names.front();
    throw Error(Errc::usage,
                names.empty() ? "no image named, and none was baked"
                              : "no image named, and several were baked: " + joined(names),
                "name one: prebake record REF");
}

/// Logs the end of it and keeps all that is there in a file.
void show_output(const std::filesystem::path& runtime, const std::string& output) {
    const std::vector<std::string_view> lines = lines_of(output);
    for (std::size_t i = lines.size() - std::min(lines.size(), kShownLines); i < lines.size();
         ++i) {
        log_info("container: " + printable(lines[i]));
    }
    if (output.empty()) return log_info("the container has written nothing");
    const std::filesystem::path file = runtime / "record.log";
    try {
        write_file_durably(file, output, 0600);
        log_info("all that it wrote: " + file.string());
    } catch (const Error& error) {
        log_warning(error.what());
    }
}

std::string_view word_of(hydrate::RecordingEnd end) {
    switch (end) {
        case hydrate::RecordingEnd::ended:
            return "ended";
        case hydrate::RecordingEnd::time_limit:
            return "time";
        case hydrate::RecordingEnd::ready:
            return "ready";
    }
    return "";
}

v1::RecordReport report_of(const hydrate::ImageToRecord& image, const hydrate::Recording& recording,
                           const std::string& file) {
    v1::RecordReport report;
    report.set_schema("prebake.v1.RecordReport");
    report.set_image(image.image.name());
    report.set_digest(image.image.manifest().digest());
    report.set_namespace_(image.ns);
    report.set_end(std::string(word_of(recording.end)));
    report.set_seconds(recording.seconds.count());
    report.set_files(hydrate::traced_files(recording.trace));
    report.set_bytes(hydrate::traced_bytes(recording.trace));
    report.set_not_dropped_bytes(recording.stayed_bytes);
    report.set_method(std::string(to_string(recording.method)));
    report.set_trace(file == "-" ? "" : file);
    return report;
}

void print_report(const v1::RecordReport& report) {
    std::printf("%s of %s were read in %s%s\n",
                (counted(report.files(), "file") + ", " + format_bytes(report.bytes())).c_str(),
                report.image().c_str(),
                format_duration(std::chrono::duration<double>(report.seconds())).c_str(),
                report.end() == "ready"   ? ", until it was ready"
                : report.end() == "ended" ? ", until it ended"
                                          : "");
    std::printf("trace: %s\n", report.trace().c_str());
}

hydrate::RecordingOptions options_of(const Invocation& invocation,
                                     const RecordArguments& arguments) {
    hydrate::RecordingOptions options;
    options.command = arguments.command;
    const auto usual = arguments.until_ready.empty() ? kStartDefault : kReadyDefault;
    options.time_limit = arguments.time_limit.value_or(usual);
    options.until_ready = arguments.until_ready;
    options.network =
        arguments.uses_host_network ? oci::ContainerNetwork::host : oci::ContainerNetwork::loopback;
    options.places.runtime = runtime_directory(invocation.config);
    return options;
}

void write_trace_to(const std::string& file, const v1::ReadTrace& trace) {
    if (file == "-") {
        std::fputs(hydrate::trace_json(trace).c_str(), stdout);
    } else {
        hydrate::write_trace(file, trace);
    }
}

}  // namespace

ExitCode record_command(const Invocation& invocation, const RecordArguments& arguments) {
    if (::geteuid() != 0) {
        throw Error(Errc::permission_denied, "prebake record needs root", "run it as root");
    }
    if (arguments.is_boot && (!arguments.reference.empty() || !arguments.command.empty() ||
                              !arguments.until_ready.empty() || arguments.uses_host_network)) {
        throw Error(Errc::usage, "--boot records the machine, not an image",
                    "leave out the image and what belongs to it");
    }
    if (arguments.output_file == "-" && invocation.json) {
        throw Error(Errc::usage, "both the trace and the report would go to standard output",
                    "leave out --json, or name a file with -o");
    }
    if (arguments.is_boot) return record_boot_command(invocation, arguments);
    const containerd::Connection connection(invocation.config.address, invocation.signals.token());
    const std::string name =
        arguments.reference.empty() ? only_image(invocation, connection) : arguments.reference;
    const hydrate::ImageToRecord image =
        hydrate::find_image_to_record(connection, invocation.config.namespaces,
                                      invocation.config.snapshotter, oci::Reference::parse(name));
    hydrate::RecordingOptions options = options_of(invocation, arguments);
    std::string output;
    options.on_output = [&](const std::string& text) { output = text; };
    log_info("recording " + image.image.name() + " for at most " +
             format_duration(std::chrono::duration<double>(options.time_limit)));
    hydrate::Recording recording;
    try {
        recording = hydrate::record_image(connection, image, options);
    } catch (const Error& error) {
        if (!output.empty() || error.code() == Errc::failed_precondition) {
            show_output(options.places.runtime, output);
        }
        throw;
    }
    recording.trace.set_prebake_version(PREBAKE_VERSION);
    const std::string file =
        arguments.output_file.empty()
            ? (invocation.config.traces / trace_file_name(image.image.name())).string()
            : arguments.output_file;
    write_trace_to(file, recording.trace);
    if (!recording.is_exact) {
        log_warning(
            "read-ahead cannot be switched off for the file system of containerd's "
            "snapshots: the trace has more than the container has read");
    }
    if (recording.stayed_bytes > 0) {
        log_warning(format_bytes(recording.stayed_bytes) +
                    " of the image are in use and stay in the page cache: whether the container "
                    "read them is not known; stop what uses the image, and record again");
    }
    const v1::RecordReport report = report_of(image, recording, file);
    if (invocation.json) {
        std::puts(to_json(report, JsonForm::indented).c_str());
    } else if (!invocation.quiet && file != "-") {
        print_report(report);
    }
    return ExitCode::done;
}

}  // namespace prebake::cli
