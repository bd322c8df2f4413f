#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/file_trust.h"
#include "agent/base/format.h"
#include "agent/base/json.h"
#include "agent/cli/commands.h"
#include "agent/cli/log.h"
#include "agent/kubelet/ecs_advice.h"
#include "agent/kubelet/ecs_images.h"
#include "agent/kubelet/ecs_settings.h"
#include "agent/machine/root.h"
#include "agent/store/record.h"

namespace prebake::cli {
namespace {

constexpr const char* kConfigFile = "/etc/ecs/ecs.config";
/// What Amazon's own installers write. ecs-init reads it before the other one.
constexpr const char* kInstanceFile = "/var/lib/ecs/ecs.config";
/// One variable of them can have 128 KiB.
constexpr std::size_t kMaxEcsFileBytes = 1UL << 20;

/// A file of the agent; nothing if it does not exist. It is refused if others can change it: then
/// they would decide what we write as root.
std::optional<kubelet::EcsFile> read_ecs_file(const machine::Root& root, const std::string& path) {
    const std::string real = root.resolved_for_change(path, machine::LastLink::follow);
    try {
        return kubelet::EcsFile{
            path, read_trusted_file(root.outside(real), kMaxEcsFileBytes, WhoseFile::ours)};
    } catch (const Error& error) {
        if (error.code() != Errc::not_found) throw;
        return std::nullopt;
    }
}

std::vector<kubelet::EcsImage> images_for_ecs(const Invocation& invocation,
                                              const machine::Root& root) {
    const std::string state =
        root.resolved(invocation.state_dir.string(), machine::LastLink::follow);
    return kubelet::ecs_images(store::read_required_record(root.outside(state)));
}

void print_document(const v1::EcsAdvice& advice) {
    std::puts(to_json(advice, JsonForm::indented).c_str());
}

/// The finding, where it is: "/etc/ecs/ecs.config:3: ..."
void log_clash(const v1::EcsClash& clash) {
    const std::string place =
        clash.file() + (clash.line() > 0 ? ":" + std::to_string(clash.line()) : "");
    log_error(Error(Errc::conflict, place + ": " + clash.message(), clash.next_step()));
}

ExitCode check_ecs_files(const Invocation& invocation, const machine::Root& root,
                         const std::vector<kubelet::EcsImage>& images, v1::EcsAdvice advice) {
    std::vector<kubelet::EcsFile> variables;
    for (const char* path : {kInstanceFile, kConfigFile}) {
        if (auto file = read_ecs_file(root, path)) variables.push_back(std::move(*file));
    }
    const std::string json_path = kubelet::ecs_json_path(variables);
    const auto json = json_path.starts_with('/') ? read_ecs_file(root, json_path) : std::nullopt;
    std::vector<std::string> warnings;
    const kubelet::EcsSettings settings = kubelet::read_ecs_settings(variables, json, warnings);
    for (const kubelet::EcsFile& file : variables) advice.add_files(file.path);
    if (json) advice.add_files(printable(json->path));
    for (const v1::EcsClash& clash : kubelet::find_ecs_clashes(images, settings, kConfigFile)) {
        *advice.add_clashes() = clash;
        log_clash(clash);
    }
    for (const std::string& warning : warnings) {
        advice.add_warnings(warning);
        log_warning(warning);
    }
    for (const std::string& note : kubelet::ecs_settings_without_effect(settings)) {
        advice.add_notes(note);
        log_warning(note);
    }
    if (invocation.json) {
        print_document(advice);
    } else if (!invocation.quiet && advice.clashes().empty()) {
        std::printf("%sthe ECS agent uses %s without the registry, and removes none\n",
                    warnings.empty() ? "ok: " : "not all settings could be read: ",
                    counted(images.size(), "baked image").c_str());
    }
    if (!advice.clashes().empty()) return ExitCode::not_ready;
    return warnings.empty() ? ExitCode::done : ExitCode::partial;
}

ExitCode write_ecs_file(const Invocation& invocation, const machine::Root& root,
                        v1::EcsAdvice advice) {
    const std::optional<kubelet::EcsFile> old = read_ecs_file(root, kConfigFile);
    const kubelet::MergedEcsConfig merged = in_context(
        kConfigFile, [&] { return kubelet::merge_ecs_config(old ? old->text : "", advice); });
    advice.add_files(kConfigFile);
    for (const std::string& change : merged.changes) advice.add_changes(change);
    if (!merged.changes.empty()) {
        // A link stays, and the file that it leads to is replaced.
        root.write(root.resolved_for_change(kConfigFile, machine::LastLink::follow), merged.text,
                   {});
    }
    if (invocation.json) {
        print_document(advice);
    } else if (!invocation.quiet) {
        for (const std::string& change : merged.changes) {
            std::printf("%s: %s\n", kConfigFile, change.c_str());
        }
        std::puts(merged.changes.empty()
                      ? "nothing to change"
                      : "the ECS agent reads the file when it starts: systemctl restart ecs");
    }
    return ExitCode::done;
}

}  // namespace

ExitCode ecs_config_command(const Invocation& invocation, const EcsConfigArguments& arguments) {
    const machine::Root root(arguments.root);
    const std::vector<kubelet::EcsImage> images = images_for_ecs(invocation, root);
    v1::EcsAdvice advice = kubelet::advise_ecs(images);
    for (const std::string& warning : advice.warnings()) log_warning(warning);
    switch (arguments.action) {
        case EcsConfigAction::check:
            return check_ecs_files(invocation, root, images, std::move(advice));
        case EcsConfigAction::write:
            return write_ecs_file(invocation, root, std::move(advice));
        case EcsConfigAction::print:
            break;
    }
    if (invocation.json) {
        print_document(advice);
    } else if (!invocation.quiet) {
        std::fputs(kubelet::to_variables(advice).c_str(), stdout);
    }
    return ExitCode::done;
}

}  // namespace prebake::cli
