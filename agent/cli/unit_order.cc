#include "agent/cli/unit_order.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/text.h"

namespace prebake::cli {
namespace {

constexpr std::string_view kTarget = "prebake-ready.target";
constexpr std::string_view kWait = "prebake-wait-ready.service";

constexpr std::array<std::string_view, 9> kStartContainerd{
    "containerd.service", "k0scontroller.service", "k0sworker.service",
    "k3s.service",        "k3s-agent.service",     "nodeadm-run.service",
    "rke2-agent.service", "rke2-server.service",   "snap.microk8s.daemon-containerd.service"};

/// systemd.unit(5), in the order of precedence.
constexpr std::array<std::string_view, 5> kUnitDirectories{
    "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system", "/lib/systemd/system"};

/// A larger file is not a unit.
constexpr std::size_t kMaxUnitBytes = 1UL << 20;

/// Whether a unit file sets one of `keys` to a list with one of `values`.
bool sets(std::string text, std::initializer_list<std::string_view> keys,
          std::initializer_list<std::string_view> values) {
    // A backslash continues the line (systemd.syntax(7)).
    for (std::size_t at = text.find("\\\n"); at != std::string::npos; at = text.find("\\\n", at))
        text.replace(at, 2, "  ");
    const std::vector<std::string_view> lines = lines_of(text);
    return std::any_of(lines.begin(), lines.end(), [&](std::string_view line) {
        const std::size_t equals = line.find('=');
        if (equals == std::string_view::npos) return false;
        const std::string_view key = trimmed(line.substr(0, equals));
        if (std::count(keys.begin(), keys.end(), key) == 0) return false;
        const std::string list = " " + std::string(trimmed(line.substr(equals + 1))) + " ";
        return std::any_of(values.begin(), values.end(), [&](std::string_view value) {
            return list.find(" " + std::string(value) + " ") != std::string::npos;
        });
    });
}

class Search {
  public:
    explicit Search(const machine::Root& root) : root_(root) {}

    std::optional<UnitThatWaits> look_at(std::string_view unit) const {
        std::optional<UnitThatWaits> found;
        const auto take = [&](const std::string& file, bool is_ordered) {
            if (!found || (is_ordered && !found->is_ordered))
                found = {std::string(unit), file, is_ordered};
        };
        for (const std::string& file : files_of(unit)) {
            const std::string text = read(file);
            if (sets(text, {"After"}, {kTarget, kWait})) take(file, true);
            if (sets(text, {"Wants", "Requires", "Requisite", "BindsTo"}, {kTarget, kWait}))
                take(file, false);
        }
        for (const std::string_view ours : {kTarget, kWait}) {
            for (const std::string& file : files_of(ours)) {
                if (sets(read(file), {"Before"}, {unit})) take(file, true);
            }
            for (const std::string_view directory : kUnitDirectories) {
                for (const char* const kind : {".wants/", ".requires/"}) {
                    std::string link =
                        std::string(directory) + "/" + std::string(unit) + kind + std::string(ours);
                    if (is_there(link)) take(link, false);
                }
            }
        }
        return found;
    }

  private:
    /// The unit file and its drop-ins. The first of several unit files hides the others.
    std::vector<std::string> files_of(std::string_view unit) const {
        std::vector<std::string> files;
        for (const std::string_view directory : kUnitDirectories) {
            std::string file = std::string(directory) + "/" + std::string(unit);
            if (!is_there(file)) continue;
            files.push_back(std::move(file));
            break;
        }
        for (const std::string_view directory : kUnitDirectories) {
            std::vector<Error> ignored;
            const std::vector<std::string> drop_ins = root_.match(
                std::string(directory) + "/" + std::string(unit) + ".d/*.conf", ignored);
            files.insert(files.end(), drop_ins.begin(), drop_ins.end());
        }
        return files;
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
};

}  // namespace

std::vector<UnitThatWaits> units_that_wait(const machine::Root& root) {
    const Search search(root);
    std::vector<UnitThatWaits> found;
    for (const std::string_view unit : kStartContainerd) {
        if (auto waiting = search.look_at(unit)) found.push_back(*std::move(waiting));
    }
    return found;
}

std::string describe(const UnitThatWaits& waiting) {
    const std::string target(kTarget);
    if (!waiting.is_ordered) {
        return waiting.unit + " wants " + target + " and does not wait for it, because " +
               waiting.unit + " itself starts containerd (" + waiting.file + ")";
    }
    return waiting.unit + " waits for " + target + ", which needs the containerd that " +
           waiting.unit + " starts (" + waiting.file + ")";
}

}  // namespace prebake::cli
