#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/text.h"
#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

constexpr std::array<std::string_view, 3> kIfcfgKeys{"HOSTNAME", "DHCP_HOSTNAME", "HWADDR"};
constexpr std::array<std::string_view, 4> kKeyfileKeys{"mac-address", "timestamp", "dhcp-hostname",
                                                       "dhcp-fqdn"};
constexpr std::string_view kIfcfg = "/etc/sysconfig/network-scripts/ifcfg-*";
constexpr std::string_view kKeyfiles = "/etc/NetworkManager/system-connections/*";

struct Setting {
    std::string_view key;
    std::string_view value;
};

Setting setting_in(std::string_view line) {
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) return {};
    return {line.substr(0, equals), line.substr(equals + 1)};
}

std::vector<std::string> values_in(std::string_view value) {
    constexpr std::string_view kSeparators = " \t\r\"';,";
    std::vector<std::string> values;
    for (std::size_t begin = value.find_first_not_of(kSeparators);
         begin != std::string_view::npos;) {
        const std::size_t end = std::min(value.find_first_of(kSeparators, begin), value.size());
        values.push_back(lower_case(value.substr(begin, end - begin)));
        begin = value.find_first_not_of(kSeparators, end);
    }
    return values;
}

/// The values of all keys but UUID, in all profiles: ports name their bridge or bond by its UUID
/// (controller=, MASTER_UUID=), also across the two formats.
std::set<std::string> references_of(const machine::Root& root) {
    std::set<std::string> references;
    for (const std::string_view pattern : {kIfcfg, kKeyfiles}) {
        for (const std::string& path : root.match(pattern)) {
            const std::string text = read_regular(root, path).value_or("");
            for (const std::string_view line : lines_of(text)) {
                const Setting setting = setting_in(line);
                if (setting.key == "uuid" || setting.key == "UUID") continue;
                for (std::string& value : values_in(setting.value))
                    references.insert(std::move(value));
            }
        }
    }
    return references;
}

}  // namespace

Changes network_profiles_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    const std::set<std::string> references = references_of(root);
    const auto is_referred_to = [&references](std::string_view uuid) {
        const std::vector<std::string> values = values_in(uuid);
        return std::any_of(values.begin(), values.end(), [&references](const std::string& value) {
            return references.count(value) != 0;
        });
    };
    const auto identifies_ifcfg = [&is_referred_to](std::string_view line) {
        const Setting setting = setting_in(line);
        if (setting.key == "UUID") return !is_referred_to(setting.value);
        return std::count(kIfcfgKeys.begin(), kIfcfgKeys.end(), setting.key) != 0;
    };
    strip_lines(root, "/etc/sysconfig/network", identifies_ifcfg, changes);
    strip_lines(root, kIfcfg, identifies_ifcfg, changes);
    const auto identifies_keyfile = [&is_referred_to](std::string_view line) {
        const Setting setting = setting_in(line);
        if (std::count(kKeyfileKeys.begin(), kKeyfileKeys.end(), setting.key) != 0) return true;
        return setting.key == "uuid" && !is_referred_to(setting.value);
    };
    strip_lines(root, kKeyfiles, identifies_keyfile, changes);
    return changes;
}

}  // namespace prebake::identity
