#include "agent/identity/scope.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/nearest.h"
#include "agent/identity/protected_places.h"

namespace prebake::identity {
namespace {

std::string nearest_item(std::string_view name) {
    std::vector<std::string> names;
    for (const Item& item : items()) names.emplace_back(item.name);
    return nearest(name, names);
}

const Item& item_called(const std::string& name) {
    const auto item = std::find_if(items().begin(), items().end(),
                                   [&](const Item& candidate) { return candidate.name == name; });
    if (item != items().end()) return *item;
    const std::string meant = nearest_item(name);
    throw Error(Errc::usage, "there is no identity item \"" + name + "\"",
                (meant.empty() ? "" : "did you mean \"" + meant + "\"? ") +
                    std::string("prebake seal --list names them all"));
}

void require_removable(const std::string& name) {
    if (item_called(name).by_default != Default::report) return;
    throw Error(Errc::usage,
                "\"" + name + "\" is only ever reported: removing it would break the machine",
                "see prebake seal --list for what to do about it");
}

bool holds(const std::vector<std::string>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

machine::NamedFiles kept_files(const machine::Root& root, const SealScope& scope,
                               const std::string& state_dir) {
    machine::NamedFiles kept = machine::named_files(root, scope.keep);
    // Not among the paths: these are not searched for secrets.
    kept.targets.insert(root.resolved_for_change(state_dir));
    kept.targets.insert(root.resolved_for_change(state_dir, machine::LastLink::follow));
    return kept;
}

void validate(const SealScope& scope) {
    for (const std::string& name : scope.skip) item_called(name);
    for (const std::string& name : scope.only) require_removable(name);
    for (const std::string& name : scope.also) require_removable(name);
    for (const std::string& pattern : scope.remove) validate_pattern(pattern);
    machine::validate("seal.keep", scope.keep);
}

void require_machine(const machine::Root& root) {
    if (root.is_running_machine()) return;
    const auto has = [&](std::string_view path) {
        return root.info(root.resolved(path, machine::LastLink::follow)).has_value();
    };
    if (has("/etc/os-release") || has("/usr/lib/os-release")) return;
    if (has("/etc/passwd") && has("/usr")) return;
    throw Error(Errc::usage, root.outside("/").string() + " holds no operating system",
                "is the image mounted there?");
}

Treatment treatment_of(const Item& item, const SealScope& scope) {
    if (holds(scope.skip, item.name)) return Treatment::skip;
    if (!scope.only.empty() && !holds(scope.only, item.name)) return Treatment::skip;
    switch (item.by_default) {
        case Default::report:
            return Treatment::report;
        case Default::on:
            return Treatment::seal;
        case Default::off:
            return holds(scope.only, item.name) || holds(scope.also, item.name) ? Treatment::seal
                                                                                : Treatment::skip;
    }
    return Treatment::skip;
}

}  // namespace prebake::identity
