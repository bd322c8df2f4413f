#include "agent/cli/unit_order.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/text.h"

namespace prebake::cli {
namespace {

constexpr std::string_view kTarget = "prebake-ready.target";
constexpr std::string_view kWait = "prebake-wait-ready.service";

/// It starts dockerd, which starts its own containerd if there is no other.
constexpr const char* kDocker = "docker.service";
constexpr const char* kDockersSnap = "snap.docker.dockerd.service";

/// The units that start containerd, as patterns of fnmatch(3). The snaps' are those of MicroK8s,
/// Canonical Kubernetes and Docker.
constexpr std::array<const char*, 8> kStartContainerd{"containerd.service",
                                                      "k0s*.service",
                                                      "k3s*.service",
                                                      "rke2-*.service",
                                                      "nodeadm-run.service",
                                                      "snap.*.containerd*.service",
                                                      "snap.*.daemon-containerd.service",
                                                      kDockersSnap};

/// systemd.unit(5), in the order of precedence.
constexpr std::array<std::string_view, 5> kUnitDirectories{
    "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system", "/lib/systemd/system"};

/// A larger file is not a unit.
constexpr std::size_t kMaxUnitBytes = 1UL << 20;

/// Directories with links to the units that a unit wants, as "containerd.service.wants".
constexpr std::array<std::string_view, 3> kLinkDirectories{".wants", ".requires", ".upholds"};

/// The words of all lists that a unit file sets one of `keys` to.
std::set<std::string> list_in(std::string text, std::initializer_list<std::string_view> keys) {
    // A backslash continues the line (systemd.syntax(7)).
    for (std::size_t at = text.find("\\\n"); at != std::string::npos; at = text.find("\\\n", at))
        text.replace(at, 2, "  ");
    std::set<std::string> words;
    for (const std::string_view line : lines_of(text)) {
        const std::size_t equals = line.find('=');
        if (equals == std::string_view::npos) continue;
        const std::string_view key = trimmed(line.substr(0, equals));
        if (std::count(keys.begin(), keys.end(), key) == 0) continue;
        std::istringstream list{std::string(line.substr(equals + 1))};
        for (std::string word; list >> word;) words.insert(word);
    }
    return words;
}

bool has_ours(const std::set<std::string>& words) {
    return words.contains(std::string(kTarget)) || words.contains(std::string(kWait));
}

/// The names under which a unit may have drop-ins, without ".d": "k3s-agent.service",
/// "k3s-.service" and "service" (systemd.unit(5)).
std::vector<std::string> names_of_drop_ins(const std::string& unit) {
    std::vector<std::string> names{unit};
    const std::size_t dot = unit.rfind('.');
    if (dot == std::string::npos) return names;
    const std::string name = unit.substr(0, dot);
    for (std::size_t dash = name.rfind('-'); dash != std::string::npos && dash > 0;
         dash = name.rfind('-', dash - 1)) {
        names.push_back(name.substr(0, dash + 1) + unit.substr(dot));
    }
    names.push_back(unit.substr(dot + 1));
    return names;
}

bool starts_containerd(const std::string& unit) {
    return std::ranges::any_of(kStartContainerd, [&](const char* pattern) {
        return ::fnmatch(pattern, unit.c_str(), 0) == 0;
    });
}

/// Whether the containerd at this address is the one that Docker starts.
bool is_of_docker(const std::string& address) {
    return address.starts_with("/run/docker/") || address.starts_with("/var/run/docker/");
}

class Search {
  public:
    Search(const machine::Root& root, bool is_docker_needed)
        : root_(root), is_docker_needed_(is_docker_needed) {}

    /// Units that start containerd, or a dockerd that is needed, and have a file, a drop-in or
    /// links, or that we are ordered before.
    std::set<std::string> candidates() const {
        std::set<std::string> units;
        const auto take = [&](const std::string& unit) {
            const bool is_docker = is_docker_needed_ && unit == kDocker;
            // "k3s-.service" has only drop-ins, which are those of other units.
            const bool is_other = starts_containerd(unit) && !unit.ends_with("-.service");
            if (is_docker || is_other) units.insert(unit);
        };
        for (const std::string_view directory : kUnitDirectories) {
            for (const std::string& name : names_in(directory)) {
                take(name);
                take(name.substr(0, name.rfind('.')));
            }
        }
        for (const std::string_view ours : {kTarget, kWait}) {
            for (const std::string& file : files_of(std::string(ours)))
                std::ranges::for_each(list_in(read(file), {"Before"}), take);
        }
        return units;
    }

    std::optional<UnitThatWaits> look_at(const std::string& unit) const {
        if (std::string file = order_of(unit); !file.empty())
            return UnitThatWaits{.unit = unit, .file = file, .starts = {}, .is_ordered = true};
        if (std::string file = wish_of(unit); !file.empty())
            return UnitThatWaits{.unit = unit, .file = file, .starts = {}};
        return {};
    }

  private:
    /// The file that orders the unit after us; empty if none does.
    std::string order_of(const std::string& unit) const {
        for (const std::string& file : files_of(unit)) {
            if (has_ours(list_in(read(file), {"After"}))) return file;
        }
        for (const std::string_view ours : {kTarget, kWait}) {
            for (const std::string& file : files_of(std::string(ours))) {
                if (list_in(read(file), {"Before"}).contains(unit)) return file;
            }
        }
        return {};
    }

    /// The file or link by which the unit wants one of ours; empty if none does.
    std::string wish_of(const std::string& unit) const {
        for (const std::string_view ours : {kTarget, kWait}) {
            for (std::string& link : links_to(unit, ours)) return std::move(link);
        }
        for (const std::string& file : files_of(unit)) {
            if (has_ours(
                    list_in(read(file), {"Wants", "Requires", "Requisite", "BindsTo", "Upholds"})))
                return file;
        }
        return {};
    }

    /// The unit file and its drop-ins. The first of several unit files hides the others.
    std::vector<std::string> files_of(const std::string& unit) const {
        std::vector<std::string> files;
        for (const std::string_view directory : kUnitDirectories) {
            std::string file = std::string(directory) + "/" + unit;
            if (!is_there(file)) continue;
            files.push_back(std::move(file));
            break;
        }
        for (const std::string& name : names_of_drop_ins(unit)) {
            for (const std::string_view directory : kUnitDirectories) {
                std::vector<Error> ignored;
                const std::vector<std::string> drop_ins =
                    root_.match(std::string(directory) + "/" + name + ".d/*.conf", ignored);
                files.insert(files.end(), drop_ins.begin(), drop_ins.end());
            }
        }
        return files;
    }

    /// The links of `unit` to `ours`.
    std::vector<std::string> links_to(const std::string& unit, std::string_view ours) const {
        std::vector<std::string> links;
        for (const std::string_view directory : kUnitDirectories) {
            for (const std::string_view kind : kLinkDirectories) {
                std::string link = std::string(directory) + "/" + unit + std::string(kind) + "/" +
                                   std::string(ours);
                if (is_there(link)) links.push_back(std::move(link));
            }
        }
        return links;
    }

    std::vector<std::string> names_in(std::string_view directory) const {
        try {
            return root_.names_in(directory);
        } catch (const Error&) {
            return {};
        }
    }

    bool is_there(const std::string& path) const {
        try {
            return root_.info(path).has_value();
        } catch (const Error&) {
            return false;
        }
    }

    std::string read(const std::string& file) const {
        try {
            return root_.read(file, kMaxUnitBytes).value_or("");
        } catch (const Error&) {
            return {};
        }
    }

    const machine::Root& root_;
    const bool is_docker_needed_;
};

}  // namespace

std::vector<UnitThatWaits> units_that_wait(const machine::Root& root, const std::string& address,
                                           bool needs_docker) {
    const Search search(root, needs_docker || is_of_docker(address));
    std::vector<UnitThatWaits> found;
    for (const std::string& unit : search.candidates()) {
        auto waiting = search.look_at(unit);
        if (!waiting) continue;
        const bool is_docker = unit == kDocker || (unit == kDockersSnap && needs_docker);
        waiting->starts = is_docker && !is_of_docker(address) ? "dockerd" : "containerd";
        found.push_back(*std::move(waiting));
    }
    return found;
}

std::string describe(const UnitThatWaits& waiting) {
    const std::string target(kTarget);
    if (!waiting.is_ordered) {
        return waiting.unit + " wants " + target + " and does not wait for it, because " +
               waiting.unit + " itself starts " + waiting.starts + " (" + waiting.file + ")";
    }
    return waiting.unit + " waits for " + target + ", which needs the " + waiting.starts +
           " that " + waiting.unit + " starts (" + waiting.file + ")";
}

}  // namespace prebake::cli
