#include <chrono>
#include <cstdio>

#include "agent/base/json.h"
#include "agent/base/process.h"
#include "agent/cli/commands.h"
#include "agent/cli/log.h"
#include "agent/kubelet/advice.h"
#include "agent/store/record.h"

namespace prebake::cli {
namespace {

constexpr std::chrono::seconds kKubeletTime{5};
constexpr std::size_t kMaxVersionBytes = 4096;

/// The version of the installed kubelet; nothing if there is none, or if its version is unknown.
std::optional<kubelet::KubernetesVersion> installed_version(const std::stop_token& stop) {
    if (!is_program("kubelet")) return std::nullopt;
    try {
        const std::string said = run_or_throw({.arguments = {"kubelet", "--version"},
                                               .time_limit = kKubeletTime,
                                               .output_limit = kMaxVersionBytes},
                                              stop);
        return kubelet::parse_kubernetes_version(said);
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) throw;
        log_debug(error.what());
        return std::nullopt;
    }
}

}  // namespace

ExitCode kubelet_config_command(const Invocation& invocation,
                                const KubeletConfigArguments& arguments) {
    const v1::BakeRecord record = store::read_required_record(invocation.state_dir);
    const auto version = arguments.version || arguments.is_check
                             ? arguments.version
                             : installed_version(invocation.signals.token());
    v1::KubeletAdvice advice = kubelet::advise_kubelet(record, version);
    std::vector<std::string> warnings;
    const kubelet::PullRecords records =
        kubelet::read_pull_records(arguments.kubelet_root, warnings);
    for (const v1::PullRecordClash& clash : kubelet::find_clashes(record, records)) {
        *advice.add_clashes() = clash;
    }
    for (const std::string& warning : warnings) {
        advice.add_warnings(warning);
        log_warning(warning);
    }
    for (const v1::PullRecordClash& clash : advice.clashes()) {
        log_error(Error(Errc::conflict, clash.file() + ": " + clash.message(), clash.next_step()));
    }
    if (invocation.json) {
        std::puts(to_json(advice, JsonForm::indented).c_str());
    } else if (!arguments.is_check && !invocation.quiet) {
        std::fputs(kubelet::to_yaml(advice).c_str(), stdout);
    } else if (!invocation.quiet && advice.clashes().empty()) {
        std::printf("%s%zu records of the kubelet, none clashes with a baked image\n",
                    warnings.empty() ? "ok: " : "not all records could be read: ",
                    records.pulled.size() + records.pulling.size());
    }
    if (!arguments.is_check) return ExitCode::done;
    if (!advice.clashes().empty()) return ExitCode::not_ready;
    return warnings.empty() ? ExitCode::done : ExitCode::partial;
}

}  // namespace prebake::cli
