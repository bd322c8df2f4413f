#include <doctest/doctest.h>
#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <set>

#include "agent/base/process.h"
#include "agent/base/text.h"
#include "tests/unit/identity/firstboot/first_boot_machine.h"

namespace prebake::identity::firstboot {
namespace {

constexpr const char* kOne = "i-0123456789abcdef0";
constexpr const char* kTwo = "i-0fedcba9876543210";

/// Boots in a process that loses its power at `point`. False if it never comes there.
bool boot_until(Machine& machine, const std::string& point) {
    const pid_t child = ::fork();
    if (child == 0) {
        try {
            machine.boot([&](std::string_view name) {
                if (name == point) ::raise(SIGKILL);
            });
        } catch (...) {
            ::_exit(98);
        }
        ::_exit(99);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

std::vector<std::string> crash_points(Machine& machine) {
    std::vector<std::string> points;
    std::set<std::string> seen;
    machine.boot([&](std::string_view name) {
        if (seen.emplace(name).second) points.emplace_back(name);
    });
    return points;
}

void check_no_remains(const Machine& machine) {
    CHECK(!machine.exists("run/prebake/ssh-host-keys"));
    for (const auto& entry : std::filesystem::recursive_directory_iterator(machine.path(""))) {
        CHECK(entry.path().filename().string().find(".prebake-") == std::string::npos);
    }
}

/// A private key and a public one of the same name belong together.
void check_pairs(const Machine& machine) {
    for (const std::string type : {"rsa", "ecdsa", "ed25519"}) {
        const std::string key = "etc/ssh/ssh_host_" + type + "_key";
        const std::string derived = run_or_throw(
            {.arguments = {"ssh-keygen", "-y", "-f", machine.path(key)}, .environment = {}}, {});
        CHECK(trimmed(derived) == trimmed(machine.get(key + ".pub")));
    }
}

/// Kills a first boot of a copy of `disk` at every point it comes to; the next boot completes it.
void kill_everywhere(const Machine& disk, const std::string& id, const char* origin) {
    Machine undisturbed(disk, id);
    const std::vector<std::string> points = crash_points(undisturbed);
    REQUIRE(undisturbed.claim().state() == v1::Claim::CLAIMED);
    REQUIRE(points.size() > 25);
    for (const std::string& point : points) {
        CAPTURE(point);
        Machine machine(disk, id);
        REQUIRE(boot_until(machine, point));
        const auto half = machine.identity();
        machine.boot();
        CHECK(machine.claim().state() == v1::Claim::CLAIMED);
        CHECK(machine.claim().instance().id() == id);
        check_no_remains(machine);

        const auto identity = machine.identity();
        CHECK(identity.size() == undisturbed.identity().size());
        for (const auto& entry : identity) {
            CAPTURE(entry.first);
            CHECK(!entry.second.empty());
            CHECK(entry.second != disk.get(entry.first));
            // What was made before the power cut is not made again.
            const auto before = half.find(entry.first);
            const bool is_made = before != half.end() && before->second != disk.get(entry.first) &&
                                 !before->second.empty();
            const bool is_half_a_pair =
                entry.first.ends_with(".pub") &&
                half.count(entry.first.substr(0, entry.first.size() - 4)) == 0;
            if (is_made && !is_half_a_pair) CHECK(before->second == entry.second);
        }
        if (point.starts_with("ssh-host-keys:")) check_pairs(machine);
        for (const std::string name : {"10-one", "20-two"}) {
            // Between a drop-in's success and the journal nobody can know that it succeeded.
            const std::size_t expected = point == "firstboot.d/" + name + ":done" ? 2 : 1;
            CHECK(machine.runs_of(name + " " + id + " " + origin) == expected);
        }

        const auto everything = machine.everything();
        CHECK(machine.boot().decision() == "already_claimed");
        CHECK(machine.everything() == everything);
    }
}

void add_certificate(Machine& machine) {
    machine.options.certificate.key_file = "/etc/prebake/host.key";
    machine.options.certificate.certificate_file = "/etc/prebake/host.crt";
    machine.options.hosts = "{local_ipv4} {hostname}";
}

TEST_CASE("first boot of a fresh machine: killed anywhere, completed by the next boot") {
    Machine disk(kOne);
    add_certificate(disk);
    kill_everywhere(disk, kOne, "claim");
}

TEST_CASE("first boot of a clone of an unsealed machine: killed anywhere, completed by the next") {
    Machine disk(kOne);
    add_certificate(disk);
    disk.boot();
    REQUIRE(disk.claim().state() == v1::Claim::CLAIMED);
    std::filesystem::remove(disk.path("log"));
    kill_everywhere(disk, kTwo, "clone_of_unsealed");
}

TEST_CASE("first boot: temporary files of a run that was killed in a write are removed") {
    Machine machine(kOne);
    add_certificate(machine);
    for (const char* const name :
         {"etc/ssh/.ssh_host_rsa_key.prebake-0123456789abcdef",
          "var/lib/prebake/.claim.json.prebake-0123456789abcdef",
          "etc/prebake/.host.key.prebake-0123456789abcdef", "run/prebake/ssh-host-keys/rsa"}) {
        machine.put(name, "half a private key", 0600);
    }
    machine.boot();
    CHECK(machine.claim().state() == v1::Claim::CLAIMED);
    check_no_remains(machine);
}

/// As another user than root, who can do everything.
int boot_unprivileged(Machine& machine) {
    const pid_t child = ::fork();
    if (child == 0) {
        constexpr uid_t kNobody = 65534;
        const bool is_root = ::geteuid() == 0;
        if (is_root &&
            (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 ||
             ::setresuid(kNobody, kNobody, kNobody) != 0)) {
            ::_exit(97);
        }
        try {
            const auto report = machine.boot();
            ::_exit(report.claim().state() == v1::Claim::CLAIMED ? 0 : 1);
        } catch (...) {
            ::_exit(98);
        }
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_CASE("first boot of a clone: what cannot be removed is reported, and the rest stays renewed") {
    Machine original(kOne);
    original.boot();
    Machine clone(original, kTwo);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(clone.path(""))) {
        if (::geteuid() == 0) REQUIRE(::lchown(entry.path().c_str(), 65534, 65534) == 0);
    }
    if (::geteuid() == 0) REQUIRE(::lchown(clone.path("").c_str(), 65534, 65534) == 0);
    REQUIRE(::chmod(clone.path("etc/nvme").c_str(), 0555) == 0);

    CHECK(boot_unprivileged(clone) == 1);
    const v1::Claim claim = clone.claim();
    CHECK(outcome_of(claim, "remove-foreign-identity") == v1::Step::DONE);
    CHECK(outcome_of(claim, "remove-foreign-identity /etc/nvme/hostid") == v1::Step::FAILED);
    CHECK(clone.get("etc/nvme/hostid") == original.get("etc/nvme/hostid"));
    const std::string key = clone.get("etc/ssh/ssh_host_rsa_key");
    CHECK(key != original.get("etc/ssh/ssh_host_rsa_key"));

    CHECK(boot_unprivileged(clone) == 1);
    CHECK(clone.get("etc/ssh/ssh_host_rsa_key") == key);

    REQUIRE(::chmod(clone.path("etc/nvme").c_str(), 0755) == 0);
    CHECK(boot_unprivileged(clone) == 0);
    CHECK(clone.get("etc/ssh/ssh_host_rsa_key") == key);
    CHECK(!clone.get("etc/nvme/hostid").empty());
    CHECK(clone.get("etc/nvme/hostid") != original.get("etc/nvme/hostid"));
    CHECK(step_of(clone.claim(), "remove-foreign-identity /etc/nvme/hostid") == nullptr);
}

}  // namespace
}  // namespace prebake::identity::firstboot
