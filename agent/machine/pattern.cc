#include <fcntl.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/text.h"
#include "agent/machine/file_calls.h"
#include "agent/machine/root.h"

namespace prebake::machine {
namespace {

/// Limit of paths that a pattern matches, at each of its components. A pattern that matches more is
/// a mistake, and would use up the machine's memory.
constexpr std::size_t kMaxMatches = 1'000'000;
constexpr std::size_t kMaxPasswdBytes = 16UL << 20;

/// Homes of system accounts: files there belong to packages, not to people.
constexpr std::array<std::string_view, 11> kNoHomesIn{
    "bin", "boot", "dev", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys", "usr"};

std::vector<std::string> components_of(std::string_view pattern) {
    std::vector<std::string> components;
    while (!pattern.empty()) {
        const std::string_view component = pattern.substr(0, pattern.find('/'));
        pattern.remove_prefix(std::min(pattern.size(), component.size() + 1));
        if (component == "..") {
            throw Error(Errc::usage, "a pattern must not contain \"..\"",
                        "name the directory without it");
        }
        if (!component.empty() && component != ".") components.emplace_back(component);
    }
    return components;
}

bool is_literal(const std::string& component) {
    return component.find_first_of("*?[\\") == std::string::npos;
}

void check_count(std::size_t count, std::string_view pattern) {
    if (count <= kMaxMatches) return;
    throw Error(
        Errc::too_large,
        std::string(pattern) + " matches more than " + std::to_string(kMaxMatches) + " files",
        "name the directory that contains them instead");
}

void sort_once(std::vector<std::string>& paths) {
    std::sort(paths.begin(), paths.end());
    paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
}

/// The homes that a passwd(5) names.
std::vector<std::string> homes_in(std::string_view passwd) {
    constexpr int kHome = 5;
    std::vector<std::string> homes;
    for (const std::string_view line : lines_of(passwd)) {
        const std::string_view home = field_of(line, kHome);
        if (home.starts_with('/')) homes.emplace_back(home);
    }
    return homes;
}

}  // namespace

/// The homes as they were found in some state of the files that name them.
struct Root::Homes {
    std::string state;
    std::vector<std::string> paths;
    std::vector<Error> problems;
};

std::vector<std::string> Root::match(std::string_view pattern) const {
    std::vector<Error> problems;
    std::vector<std::string> paths = match(pattern, problems);
    if (!problems.empty()) throw Error(problems.front());
    return paths;
}

std::vector<std::string> Root::match(std::string_view pattern, std::vector<Error>& problems) const {
    const bool is_below_homes = pattern == "~" || pattern.starts_with("~/");
    if (!is_below_homes && !pattern.starts_with('/')) {
        throw Error(Errc::usage, "\"" + std::string(pattern) + "\" is neither absolute nor below ~",
                    "start it with / or ~/");
    }
    // A file that cannot be read does not hide its siblings.
    const auto attempt = [&problems](const auto& work) {
        try {
            work();
        } catch (const Error& error) {
            problems.push_back(error);
        }
    };
    std::vector<std::string> found{""};
    if (is_below_homes) {
        found.clear();
        attempt([&] { found = home_directories(problems); });
    }
    for (const std::string& component : components_of(pattern.substr(is_below_homes ? 1 : 0))) {
        std::vector<std::string> next;
        for (const std::string& path : found) {
            if (is_literal(component)) {
                next.push_back(path + "/" + component);
                continue;
            }
            attempt([&] {
                for (const std::string& name : names_at(path + "/", LastLink::follow)) {
                    if (::fnmatch(component.c_str(), name.c_str(), FNM_PERIOD) != 0) continue;
                    next.push_back(path + "/" + name);
                    check_count(next.size(), pattern);
                }
            });
        }
        found = std::move(next);
    }
    std::vector<std::string> existing;
    for (std::string& path : found) {
        attempt([&] {
            if (info(path.empty() ? "/" : path)) existing.push_back(std::move(path));
        });
    }
    sort_once(existing);
    return existing;
}

std::vector<std::string> Root::home_directories() const {
    std::vector<Error> problems;
    std::vector<std::string> homes = home_directories(problems);
    if (!problems.empty()) throw Error(problems.front());
    return homes;
}

std::vector<std::string> Root::home_directories(std::vector<Error>& problems) const {
    const Homes& known = homes();
    problems.insert(problems.end(), known.problems.begin(), known.problems.end());
    return known.paths;
}

std::string Root::state_of(std::string_view path) const {
    const std::optional<FileDescriptor> fd = open_below(path, O_PATH);
    const auto status = fd ? status_at(fd->get(), "", std::string(path)) : std::nullopt;
    if (!status) return {};
    return std::to_string(status->id.device) + ":" + std::to_string(status->id.inode) + ":" +
           std::to_string(status->changed_at);
}

const Root::Homes& Root::homes() const {
    const std::string state = state_of("/etc/passwd") + " " + state_of("/home");
    if (homes_ && homes_->state == state) return *homes_;
    std::vector<std::string> candidates =
        homes_in(read("/etc/passwd", kMaxPasswdBytes).value_or(""));
    candidates.emplace_back("/root");
    for (const std::string& name : names_at("/home", LastLink::follow))
        candidates.push_back("/home/" + name);
    sort_once(candidates);  // many accounts may share a home
    Homes found{.state = state, .paths = {}, .problems = {}};
    for (const std::string& candidate : candidates) {
        try {
            if (!info(candidate)) continue;  // cheaper than to resolve it
            std::string home = resolved_for_change(candidate, LastLink::follow);
            const std::string top = home.substr(1, home.find('/', 1) - 1);
            if (home == "/" || std::count(kNoHomesIn.begin(), kNoHomesIn.end(), top) != 0) continue;
            const std::optional<FileInfo> there = info(home);
            if (there && there->type == FileType::directory) found.paths.push_back(std::move(home));
        } catch (const Error& error) {
            found.problems.push_back(error);
        }
    }
    sort_once(found.paths);
    homes_ = std::make_shared<const Homes>(std::move(found));
    return *homes_;
}

}  // namespace prebake::machine
