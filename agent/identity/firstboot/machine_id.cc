#include <algorithm>

#include "agent/base/error.h"
#include "agent/base/process.h"
#include "agent/identity/fingerprints.h"
#include "agent/identity/firstboot/selinux.h"
#include "agent/identity/firstboot/step.h"
#include "agent/identity/item.h"
#include "agent/machine/random.h"
#include "agent/machine/text_format.h"
#include "agent/machine/visible_file.h"

namespace prebake::identity::firstboot {
namespace {

constexpr const char* kMachineIdPath = "/etc/machine-id";
constexpr const char* kSetup = "systemd-machine-id-setup";

/// machine-id(5): 32 lower-case hex digits, not all zero. "uninitialized" is none.
bool is_machine_id(const std::string& id) {
    return id.size() == 32 && machine::is_uuid(machine::format_uuid(id)) &&
           id.find_first_not_of('0') != std::string::npos;
}

bool is_of_sealed_machine(const StepContext& context) {
    const auto unchanged = unchanged_fingerprints(context.root, items(), context.claim.seal());
    return std::any_of(unchanged.begin(), unchanged.end(),
                       [](const v1::Fingerprint& found) { return found.item() == "machine-id"; });
}

void set_up_by_systemd(const StepContext& context) {
    if (!is_program(kSetup)) return;
    Command command{.arguments = {kSetup}, .environment = {}};
    if (!context.root.is_running_machine()) {
        command.arguments.push_back("--root=" + context.root.outside("/").string());
    }
    try {
        run_or_throw(command, context.stop);
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) throw;
        // Then we write it ourselves: some machines do not boot again without one.
    }
}

}  // namespace

StepResult ensure_machine_id(const StepContext& context) {
    const machine::Root& root = context.root;
    const bool may_be_the_same = context.claim.unsealed_in_place();
    const auto is_usable = [&] {
        return is_machine_id(machine::visible_text(root, kMachineIdPath)) &&
               (may_be_the_same || !is_of_sealed_machine(context));
    };
    if (is_usable()) {
        const auto info = root.info(kMachineIdPath);
        // PID 1 found a read-only root file system and keeps the ID in memory.
        if (info && info->is_mount) return delegated_to("systemd-machine-id-commit.service");
        return done("already there");
    }
    // On a virtual machine systemd derives the ID from the hardware UUID, so the same machine gets
    // the same ID.
    if (!is_machine_id(machine::visible_text(root, kMachineIdPath))) set_up_by_systemd(context);
    std::string how = "created by systemd";
    if (!is_usable()) {
        // Also if systemd derives the sealed machine's ID: clones may share a hardware UUID, and a
        // container manager may pass on the old ID.
        root.write(kMachineIdPath, machine::random_id() + "\n", our_file(0444));
        how = "generated randomly";
    }
    restore_contexts(root, {kMachineIdPath}, context.stop);
    return done(how);
}

}  // namespace prebake::identity::firstboot
