#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent/base/file.h"
#include "agent/identity/claim.h"
#include "agent/identity/firstboot/first_boot.h"
#include "tests/unit/machine/scripted_metadata.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::identity::firstboot {

/// An EC2 machine in a temporary directory: an installed system with an SSH server, NVMe over
/// Fabrics and two drop-ins. ssh-keygen and systemd-machine-id-setup run for real, with smaller RSA
/// keys.
class Machine {
  public:
    explicit Machine(const std::string& id = "i-0123456789abcdef0") {
        put("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        put("etc/machine-id", "", 0444);
        put("etc/ssh/sshd_config", "PasswordAuthentication no\n");
        put("etc/hosts", "127.0.0.1 localhost\n");
        put("etc/nvme/discovery.conf", "");
        drop_in("10-one");
        drop_in("20-two");
        become(id);
        options.prebake_version = "1.2.3";
        options.metadata = {.total = std::chrono::milliseconds(50),
                            .attempt = std::chrono::milliseconds(10),
                            .first_delay = std::chrono::milliseconds(1),
                            .max_delay = std::chrono::milliseconds(2)};
        prefer_small_keys();
    }

    /// Another machine that starts with this one's disk.
    Machine(const Machine& other, const std::string& id) : options(other.options) {
        std::filesystem::copy(other.directory_.path(), directory_.path(),
                              std::filesystem::copy_options::recursive |
                                  std::filesystem::copy_options::copy_symlinks);
        // Only root may write a read-only file, and tests may run as another user.
        std::filesystem::permissions(path("etc/machine-id"), std::filesystem::perms::owner_write,
                                     std::filesystem::perm_options::add);
        // Memory does not come along.
        std::filesystem::remove_all(path("run"));
        become(id);
        for (const char* const name : {"10-one", "20-two"}) {
            if (exists("etc/prebake/firstboot.d/" + std::string(name))) drop_in(name);
        }
    }

    std::filesystem::path path(const std::string& inside) const {
        return directory_.path() / inside;
    }
    bool exists(const std::string& inside) const {
        return std::filesystem::exists(std::filesystem::symlink_status(path(inside)));
    }
    void put(const std::string& inside, const std::string& text, mode_t mode = 0644) const {
        write_file_durably(path(inside), text, mode);
    }
    std::string get(const std::string& inside) const {
        return exists(inside) ? read_file(path(inside), 1UL << 20) : std::string();
    }
    mode_t mode(const std::string& inside) const {
        struct stat status {};
        return ::stat(path(inside).c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
    }

    /// What the firmware says; an empty id: nothing at all.
    void become(const std::string& id) {
        std::filesystem::remove_all(path("sys"));
        if (id.empty()) return;
        put("sys/class/dmi/id/sys_vendor", "Amazon EC2\n");
        put("sys/class/dmi/id/board_asset_tag", id + "\n");
        std::string document = tests::kEc2Document;
        document.replace(document.find("\"i-0123456789abcdef0") + 1, id.size(), id);
        service = tests::ScriptedMetadata();
        tests::serve_ec2(service, document);
    }

    /// A drop-in that writes its name, the instance and the decision into /log.
    void drop_in(const std::string& name, const std::string& more = "exit 0") const {
        put("etc/prebake/firstboot.d/" + name,
            "#!/bin/sh\necho \"" + name + " $PREBAKE_INSTANCE_ID $PREBAKE_DECISION\" >> '" +
                path("log").string() + "'\n" + more + "\n",
            0755);
    }
    std::size_t runs_of(const std::string& name) const {
        const std::string log = get("log");
        std::size_t runs = 0;
        for (std::size_t at = log.find(name); at != std::string::npos;
             at = log.find(name, at + 1)) {
            ++runs;
        }
        return runs;
    }

    v1::FirstBootReport boot(Stage stage, const CrashPoint& crash = {}) {
        return first_boot(machine::Root(directory_.path()), stage, options, &service, crash, {});
    }
    /// Both stages. The report of the second.
    v1::FirstBootReport boot(const CrashPoint& crash = {}) {
        boot(Stage::local, crash);
        return boot(Stage::online, crash);
    }

    v1::Claim claim() const {
        std::string warning;
        return read_claim(machine::Root(directory_.path()), options.state_dir, warning);
    }

    /// What identifies it.
    std::map<std::string, std::string> identity() const {
        std::map<std::string, std::string> found;
        for (const char* const file :
             {"etc/machine-id", "etc/nvme/hostnqn", "etc/nvme/hostid", "etc/ssh/ssh_host_rsa_key",
              "etc/ssh/ssh_host_ecdsa_key", "etc/ssh/ssh_host_ed25519_key",
              "etc/ssh/ssh_host_rsa_key.pub", "etc/ssh/ssh_host_ecdsa_key.pub",
              "etc/ssh/ssh_host_ed25519_key.pub", "etc/prebake/host.key", "etc/prebake/host.crt"}) {
            if (exists(file)) found[file] = get(file);
        }
        return found;
    }

    /// Every file with its mode and contents.
    std::map<std::string, std::string> everything() const {
        std::map<std::string, std::string> found;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path())) {
            const std::string name = entry.path().lexically_relative(directory_.path());
            found[name] =
                std::to_string(mode(name)) + (entry.is_regular_file() ? get(name) : std::string());
        }
        return found;
    }

    FirstBootOptions options;
    tests::ScriptedMetadata service;

  private:
    /// RSA keys of 3072 bits take most of the time of these tests.
    static void prefer_small_keys() {
        static const TemporaryDirectory programs;
        static const bool is_done = [] {
            write_file_durably(programs.path() / "ssh-keygen",
                               "#!/bin/sh\ncase \" $* \" in *' -t rsa '*) set -- -b 1024 \"$@\";; "
                               "esac\nPATH=${PATH#*:} exec ssh-keygen \"$@\"\n",
                               0755);
            const char* const path = ::getenv("PATH");
            ::setenv("PATH",
                     (programs.path().string() + ":" + (path == nullptr ? "/usr/bin:/bin" : path))
                         .c_str(),
                     1);
            return true;
        }();
        static_cast<void>(is_done);
    }

    /// In memory, because first boot syncs a lot.
    TemporaryDirectory directory_{TestStorage::memory_if_possible};
};

inline const v1::Step* step_of(const v1::Claim& claim, const std::string& name) {
    for (const v1::Step& step : claim.steps()) {
        if (step.name() == name) return &step;
    }
    return nullptr;
}

inline v1::Step::Outcome outcome_of(const v1::Claim& claim, const std::string& name) {
    const v1::Step* const step = step_of(claim, name);
    return step == nullptr ? v1::Step::OUTCOME_UNSPECIFIED : step->outcome();
}

}  // namespace prebake::identity::firstboot
