// An image is made by others: nothing in it may lead a seal or a check to a file of the machine
// that they run on.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/identity/claim.h"
#include "agent/identity/fingerprints.h"
#include "agent/identity/residue.h"
#include "agent/identity/seal.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/machine/in_child.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::identity {
namespace {

using tests::TestTree;

/// What a file of the image is replaced by.
enum class Trap { absolute_link, climbing_link, directory_link, new_file_link, pipe, device };
struct NamedTrap {
    const char* name;
    Trap trap;
};
constexpr NamedTrap kTraps[] = {
    {"a link to a file of the host", Trap::absolute_link},
    {"a link that climbs out", Trap::climbing_link},
    {"a link to a directory of the host", Trap::directory_link},
    {"a link to a file that the host does not have", Trap::new_file_link},
    {"a pipe that nobody writes to", Trap::pipe},
    {"a device", Trap::device}};

/// Records what is done to files, as inotify(7) sees it.
class Watch {
  public:
    Watch() : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}

    void add(const std::filesystem::path& path, std::uint32_t events) {
        if (::inotify_add_watch(fd_.get(), path.c_str(), events) < 0)
            throw std::runtime_error("cannot watch " + path.string());
    }
    /// The number of events since the last call.
    int count() const {
        alignas(inotify_event) std::array<char, 4096> buffer;
        int events = 0;
        ssize_t got = 0;
        while ((got = ::read(fd_.get(), buffer.data(), buffer.size())) > 0) {
            for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
                inotify_event event{};
                std::copy_n(buffer.data() + at, sizeof event, reinterpret_cast<char*>(&event));
                events += (event.mask & IN_IGNORED) == 0 ? 1 : 0;  // the seal removed the trap
                at += sizeof event + event.len;
            }
        }
        return events;
    }

  private:
    FileDescriptor fd_;
};

/// One name that a pattern of an item matches.
std::string matched_by(std::string pattern) {
    if (pattern.starts_with('~')) pattern = "/home/eve" + pattern.substr(1);
    std::string path;
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        if (pattern[at] == '[') {
            path += pattern[at + 1];
            at = pattern.find(']', at);
        } else {
            path += pattern[at] == '*' || pattern[at] == '?' ? 'x' : pattern[at];
        }
    }
    while (path.ends_with('/')) path.pop_back();
    return path;
}

/// Every file that a seal or a check reads, changes or removes by name.
std::set<std::string> names_in_image() {
    std::set<std::string> names{"/etc/default/locale",
                                "/etc/docker/daemon.json",
                                "/etc/containerd/config.toml",
                                "/etc/fstab",
                                "/etc/hosts",
                                "/etc/hostname",
                                "/etc/mailname",
                                "/etc/passwd",
                                "/etc/postfix/main.cf",
                                "/etc/resolv.conf",
                                "/etc/sysconfig/network",
                                "/etc/cloud/cloud.cfg.d/99-x.cfg",
                                "/etc/netplan/50-cloud-init.yaml",
                                "/etc/ssh/sshd_config.d/50-cloud-init.conf",
                                "/etc/prebake/seal.d",
                                "/home/eve/.docker/config.json",
                                "/root/.docker/config.json",
                                "/var/lib/kubelet/config.json",
                                "/var/lib/prebake/bake.json",
                                "/var/lib/prebake/bake.lock",
                                "/var/lib/prebake/claim.json",
                                "/var/lib/prebake/firstboot.lock",
                                "/var/lib/prebake/ledger.json"};
    for (const Item& item : items()) {
        for (const Target& target : item.targets)
            names.insert(matched_by(std::string(target.pattern)));
        for (const std::string_view proof : item.proofs)
            names.insert(matched_by(std::string(proof)));
    }
    return names;
}

struct Host : TestTree {
    Host() {
        put("/secret", "of the host", 0600);
        put("/directory/config.json", R"({"auths":{"r":{"auth":"dTpw"}}})");
        put("/directory/claim.json", "{}");
        put("/directory/bake.lock", "");
    }
};

std::string climb_to(const std::filesystem::path& path) {
    std::string target;
    for (int i = 0; i < 40; ++i) target += "../";
    return target + path.relative_path().string();
}

/// False if it lies below another trap. @throws std::runtime_error if the kernel refuses it.
bool set_trap(Trap trap, const TestTree& image, const std::string& path, const Host& host) {
    std::error_code failure;
    std::filesystem::create_directories(image.at(path).parent_path(), failure);
    if (failure || image.has(path)) return false;
    const std::string at = image.at(path);
    int result = 0;
    switch (trap) {
        case Trap::absolute_link:
            image.link(path, host.at("/secret"));
            break;
        case Trap::climbing_link:
            image.link(path, climb_to(host.at("/secret")));
            break;
        case Trap::directory_link:
            image.link(path, host.at("/directory"));
            break;
        case Trap::new_file_link:
            image.link(path, climb_to(host.at("/directory/new")));
            break;
        case Trap::pipe:
            result = ::mkfifo(at.c_str(), 0600);
            break;
        case Trap::device:  // /dev/null
            result = ::mknod(at.c_str(), S_IFCHR | 0600, ::makedev(1, 3));
            break;
    }
    if (result != 0) throw std::runtime_error("cannot set a trap at " + at);
    return true;
}

/// Which of the files that every seal needs are traps, too: with them it ends at once.
struct Round {
    const char* name;
    std::set<std::string> spared;
    bool is_sealed;
};
const std::string kLock = "/var/lib/prebake/bake.lock";
const std::string kBootLock = "/var/lib/prebake/firstboot.lock";
const std::string kClaim = "/var/lib/prebake/claim.json";
const std::string kPasswd = "/etc/passwd";  // without it nobody knows what [seal] keep names
const Round kRounds[] = {{"everything", {}, false},
                         {"all but the first lock", {kLock}, false},
                         {"all but what a seal needs", {kLock, kBootLock, kClaim, kPasswd}, true}};

/// The image with every trap that can be set, and what saw the host.
struct TrappedImage {
    TrappedImage(Trap trap, const Round& round) {
        image.put("/usr/lib/os-release", "");
        image.put("/usr/bin/x", "");
        image.make_directory("/var/lib/prebake");
        for (const std::string& path : names_in_image()) {
            if (round.spared.count(path) != 0 || !set_trap(trap, image, path, host)) continue;
            ++traps;
            // Opening a pipe wakes its other end, or blocks without end.
            if (trap == Trap::pipe) watch.add(image.at(path), IN_OPEN);
        }
        for (const char* directory : {"/", "/directory"})
            watch.add(host.at(directory), IN_ALL_EVENTS & ~IN_CLOSE_NOWRITE);
        before = host.everything();
        (void)watch.count();  // everything() reads
    }

    TestTree image;
    Host host;
    Watch watch;
    std::map<std::string, std::string> before;
    std::size_t traps = 0;
};

/// What a seal of every item did: "sealed", or the error's code. Each item must have been tried.
std::string seal_everything(const machine::Root& root, SealOptions options) {
    options.mode = SealMode::seal;
    try {
        const v1::SealReport report = seal(root, options, {});
        std::size_t tried = 0;
        std::size_t changed = 0;
        for (const v1::SealedItem& item : report.items()) {
            const bool is_changed = item.outcome() == v1::SealedItem::CHANGED;
            changed += is_changed ? 1 : 0;
            tried += is_changed || item.outcome() == v1::SealedItem::CLEAN ||
                             item.outcome() == v1::SealedItem::FAILED
                         ? 1
                         : 0;
        }
        // Most items remove what is there, whatever it is.
        if (tried < items().size() / 2 || changed < items().size() / 4) {
            return std::to_string(tried) + " items tried, " + std::to_string(changed) +
                   " changed: " + report.ShortDebugString();
        }
        return "sealed";
    } catch (const Error& error) {
        return std::string(to_string(error.code()));
    }
}

/// All that opens files below a root. Returns what sealing everything did.
std::string walk_all_paths(const machine::Root& root) {
    const auto attempt = [](const std::function<void()>& work) {
        try {
            work();
        } catch (const Error&) {  // what it throws does not matter here
        }
    };
    SealOptions options;
    for (const Item& item : items()) {
        if (item.by_default == Default::off) options.scope.also.emplace_back(item.name);
    }
    options.scope.keep = {"~/.ssh/*", "/etc/x*"};
    options.scope.remove = {"/opt/x/*", "~/x/*"};
    CheckOptions check_options;
    check_options.scope = options.scope;
    std::string warning;
    attempt([&] { check(root, check_options, {}); });
    options.mode = SealMode::dry_run;
    attempt([&] { seal(root, options, {}); });
    std::string result = seal_everything(root, options);
    attempt([&] { seal(root, {}, {}); });
    attempt([&] { check(root, check_options, {}); });
    v1::Instance builder;
    builder.set_id("i-0123456789abcdef0");
    attempt([&] { note_builder(root, "/var/lib/prebake", builder); });
    attempt([&] { read_claim(root, "/var/lib/prebake", warning); });
    attempt([&] { unchanged_fingerprints(root, items(), v1::Seal()); });
    return result;
}

void expect_untouched_host(const NamedTrap& row) {
    CAPTURE(row.name);
    for (const Round& round : kRounds) {
        CAPTURE(round.name);
        const TrappedImage trapped(row.trap, round);
        // The items alone name more files than that.
        constexpr std::size_t kFewestTraps = 200;
        CHECK(trapped.traps >= kFewestTraps);
        const std::string found = tests::in_child([]() -> std::string { return {}; },
                                                  [&]() -> std::string {
                                                      ::alarm(120);
                                                      return walk_all_paths(trapped.image.root());
                                                  });
        CHECK(found == (round.is_sealed ? "sealed" : "io"));
        CHECK(trapped.watch.count() == 0);
        CHECK(trapped.host.everything() == trapped.before);
        if (round.is_sealed) CHECK(trapped.image.has(kClaim));
    }
}

TEST_CASE("an image full of traps is sealed and checked without touching the host") {
    for (const NamedTrap& row : kTraps) {
        if (row.trap != Trap::device) expect_untouched_host(row);
    }
}

TEST_CASE("an image full of devices is sealed and checked without opening one" *
          doctest::test_suite("root")) {
    // A container or a user namespace may refuse it to its root, too.
    const TestTree tree;
    if (::mknod(tree.at("/x").c_str(), S_IFCHR | 0600, ::makedev(1, 3)) != 0) {
        MESSAGE("not run: only root of the machine can make a device");
        return;
    }
    for (const NamedTrap& row : kTraps) {
        if (row.trap == Trap::device) expect_untouched_host(row);
    }
}

TEST_CASE("files and directories of the host that are mounted into an image stay as they are") {
    const TestTree image;
    const Host host;
    image.put("/usr/lib/os-release", "");
    image.put("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    image.put("/var/lib/prebake/bake.lock", "");
    image.put("/var/lib/prebake/claim.json", R"({"schema":"prebake.v1.Claim"})");
    image.make_directory("/var/tmp");
    const auto before = host.everything();
    Watch watch;
    watch.add(host.at("/secret"), IN_OPEN | IN_MODIFY | IN_ATTRIB);
    (void)watch.count();
    const std::string found = tests::in_own_mounts([&]() -> std::string {
        ::alarm(60);
        for (const char* path :
             {"/etc/machine-id", "/var/lib/prebake/bake.lock", "/var/lib/prebake/claim.json"})
            tests::bind(host.at("/secret"), image.at(path));
        // The same directory under the same name: that of the machine.
        tests::bind(host.at("/directory"), "/var/tmp");
        tests::bind("/var/tmp", image.at("/var/tmp"));
        (void)walk_all_paths(image.root());
        return {};
    });
    CHECK(found == "");
    CHECK(watch.count() == 0);
    CHECK(host.everything() == before);
    CHECK(image.text("/etc/machine-id") == "");
}

TEST_CASE("the state directory of the host, mounted into an image, does not get its claim") {
    const TestTree image;
    const Host host;
    image.put("/usr/lib/os-release", "");
    image.make_directory("/var/tmp");
    const auto before = host.everything();
    const std::string found = tests::in_own_mounts([&]() -> std::string {
        tests::bind(host.at("/directory"), "/var/tmp");
        tests::bind("/var/tmp", image.at("/var/tmp"));
        SealOptions options;
        options.state_dir = "/var/tmp/state";
        const Error error = tests::thrown_by([&] { seal(image.root(), options, {}); });
        return error.code() == Errc::failed_precondition ? "" : error.what();
    });
    CHECK(found == "");
    CHECK(host.everything() == before);
}

TEST_CASE("locks are regular files of the image") {
    const TestTree image;
    const Host host;
    image.put("/usr/lib/os-release", "");
    image.link("/var/lib/prebake/bake.lock", host.at("/created"));
    const Error error = tests::thrown_by([&] { seal(image.root(), {}, {}); });
    CHECK(error.code() == Errc::io);
    CHECK(tests::contains(error.message(), "/var/lib/prebake/bake.lock"));
    CHECK(error.next_step() != "");
    CHECK_FALSE(host.has("/created"));
}

}  // namespace
}  // namespace prebake::identity
