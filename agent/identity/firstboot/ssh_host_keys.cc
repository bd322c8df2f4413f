#include "agent/identity/firstboot/ssh_host_keys.h"

#include <array>
#include <filesystem>
#include <optional>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/process.h"
#include "agent/identity/firstboot/selinux.h"
#include "agent/identity/firstboot/step.h"
#include "agent/machine/cloud_init.h"

namespace prebake::identity::firstboot {
namespace {

constexpr std::array kTypes{"rsa", "ecdsa", "ed25519"};
constexpr std::size_t kMaxKeyBytes = 64UL << 10;
/// In memory: an abandoned key never reaches the disk.
constexpr const char* kWorkDirectory = "/run/prebake/ssh-host-keys";

std::string key_path(const std::string& type) {
    return "/etc/ssh/ssh_host_" + type + "_key";
}

/// An empty file is left by a crash of a less careful program.
bool has_contents(const machine::Root& root, const std::string& path) {
    const auto info = root.info(path);
    return info && (info->type != machine::FileType::regular || info->size > 0);
}

SshHostKeyFacts read_facts(const machine::Root& root) {
    return {.has_server = root.info("/usr/sbin/sshd") || root.info("/etc/ssh/sshd_config"),
            .cloud_init_is_active = machine::cloud_init_is_active(root),
            .has_keygen_unit = has_unit(root, "sshd-keygen@.service")};
}

/// A directory that only we can enter; removed at the end. The directory of a killed run is
/// replaced.
class WorkDirectory {
  public:
    explicit WorkDirectory(const machine::Root& root)
        : root_(root), path_(root.outside(kWorkDirectory)) {
        root_.remove(kWorkDirectory);
        root_.make_private_directory(kWorkDirectory);
    }
    ~WorkDirectory() {
        try {
            root_.remove(kWorkDirectory);
        } catch (const Error&) {  // the next run removes it
        }
    }
    WorkDirectory(const WorkDirectory&) = delete;
    WorkDirectory& operator=(const WorkDirectory&) = delete;

    const std::filesystem::path& path() const { return path_; }

  private:
    const machine::Root& root_;
    std::filesystem::path path_;
};

void generate(const StepContext& context, const WorkDirectory& directory, const std::string& type) {
    const std::filesystem::path made = directory.path() / type;
    // No comment: it would name the build host.
    run_or_throw({.arguments = {"ssh-keygen", "-q", "-t", type, "-N", "", "-C", "", "-f", made},
                  .environment = {}},
                 context.stop);
    const std::string path = key_path(type);
    // The private key last: if it exists, the pair is complete.
    const std::string inside = std::string(kWorkDirectory) + "/" + type;
    const auto contents = [&](const std::string& name) {
        std::optional<std::string> text = context.root.read(name, kMaxKeyBytes);
        if (!text) throw Error(Errc::failed_precondition, "ssh-keygen did not create " + name);
        return std::move(*text);
    };
    context.root.write(path + ".pub", contents(inside + ".pub"), our_file(0644));
    context.crash("ssh-host-keys:" + type + ".pub");
    context.root.write(path, contents(inside), our_file(0600));
    context.crash("ssh-host-keys:" + type);
}

bool has_any_key(const machine::Root& root) {
    for (const std::string& path : root.match("/etc/ssh/ssh_host_*_key")) {
        if (has_contents(root, path)) return true;
    }
    return false;
}

/// Exists while the keys are being created.
std::string unfinished_mark(const StepContext& context) {
    return context.options.state_dir + "/ssh-host-keys.unfinished";
}

/// An administrator may want only one type of key. Empty files, and what our interrupted run left,
/// do not count.
bool is_chosen(const StepContext& context) {
    if (!is_in_place(context.claim) || context.root.info(unfinished_mark(context))) return false;
    for (const std::string& path : context.root.match("/etc/ssh/ssh_host_*_key")) {
        if (!has_contents(context.root, path)) return false;
    }
    return has_any_key(context.root);
}

StepResult generate_missing(const StepContext& context) {
    if (is_chosen(context)) return done("already there");
    context.root.write(unfinished_mark(context), "", our_file(0600));
    const WorkDirectory directory(context.root);
    std::vector<std::string> made;
    std::optional<Error> failure;
    std::size_t present = 0;
    for (const std::string type : kTypes) {
        if (has_contents(context.root, key_path(type))) {
            ++present;
            continue;
        }
        try {
            generate(context, directory, type);
            made.push_back(type);
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled) throw;
            failure = error;  // ed25519 fails in FIPS mode: no error if there is another key
        }
    }
    if (made.empty() && present == 0 && failure) throw Error(*failure);
    std::vector<std::string> paths;
    std::string list;
    for (const std::string& type : made) {
        list += " " + type;
        paths.push_back(key_path(type));
        paths.push_back(key_path(type) + ".pub");
    }
    restore_contexts(context.root, paths, context.stop);
    context.root.remove(unfinished_mark(context));
    return done(made.empty() ? "already there" : "created by ssh-keygen:" + list);
}

/// Debian's sshd tests its configuration before it starts, and fails permanently without a key.
void start_server_that_had_none(const StepContext& context) {
    if (!context.root.is_running_machine() || !is_program("systemctl")) return;
    for (const char* const unit : {"ssh.service", "sshd.service"}) {
        const Command ask{.arguments = {"systemctl", "is-failed", "--quiet", unit}};
        if (run_command(ask, context.stop).status != 0) continue;
        run_or_throw({.arguments = {"systemctl", "reset-failed", unit}}, context.stop);
        run_or_throw({.arguments = {"systemctl", "start", "--no-block", unit}}, context.stop);
    }
}

}  // namespace

SshHostKeyOwner owner_of_ssh_host_keys(const SshHostKeyFacts& facts) {
    if (!facts.has_server) return SshHostKeyOwner::nobody;
    if (facts.cloud_init_is_active) return SshHostKeyOwner::cloud_init;
    return facts.has_keygen_unit ? SshHostKeyOwner::sshd_keygen : SshHostKeyOwner::prebake;
}

StepResult ensure_ssh_host_keys(const StepContext& context) {
    switch (owner_of_ssh_host_keys(read_facts(context.root))) {
        case SshHostKeyOwner::nobody:
            return done("no SSH server is installed");
        case SshHostKeyOwner::cloud_init:
            return delegated_to("cloud-init");
        case SshHostKeyOwner::sshd_keygen:
            return delegated_to("sshd-keygen@.service");
        case SshHostKeyOwner::prebake:
            break;
    }
    return generate_missing(context);
}

StepResult check_ssh_host_keys(const StepContext& context) {
    const SshHostKeyOwner owner = owner_of_ssh_host_keys(read_facts(context.root));
    if (owner == SshHostKeyOwner::nobody) return done("no SSH server is installed");
    if (has_any_key(context.root)) return done("there");
    // It runs when sshd starts, perhaps after us: two generators would race.
    if (owner == SshHostKeyOwner::sshd_keygen) return delegated_to("sshd-keygen@.service");
    StepResult result = generate_missing(context);
    start_server_that_had_none(context);
    return result;
}

}  // namespace prebake::identity::firstboot
