#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/text.h"
#include "agent/identity/items/docker_settings.h"
#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/root.h"

// Keys of daemon.json that are true of one machine only. People write them, so they are reported.
// Host names, also in "labels", are found as the builder's values, and passwords as secrets.
namespace prebake::identity {
namespace {

using Judge = bool (*)(std::string_view value);

/// The host of "tcp://10.0.0.5:2376", "[fd00::5]:2376" or "10.0.0.5".
std::string host_in(std::string_view value) {
    if (const std::size_t scheme = value.find("://"); scheme != std::string_view::npos)
        value.remove_prefix(scheme + 3);
    value = value.substr(0, value.find('/'));
    if (value.starts_with('[')) return std::string(value.substr(1, value.find(']') - 1));
    if (std::count(value.begin(), value.end(), ':') == 1) value = value.substr(0, value.find(':'));
    return std::string(value);
}

/// An address that one machine has: not a wildcard, and not of loopback.
bool is_own_address(std::string_view value) {
    const std::string host = host_in(value);
    in_addr v4{};
    if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) {
        constexpr std::uint32_t kLoopback = 127;
        const std::uint32_t bits = ntohl(v4.s_addr);
        return bits != 0 && bits >> 24 != kLoopback;
    }
    in6_addr v6{};
    if (::inet_pton(AF_INET6, host.c_str(), &v6) != 1) return false;
    return !IN6_IS_ADDR_UNSPECIFIED(&v6) && !IN6_IS_ADDR_LOOPBACK(&v6);
}

/// "NVIDIA-GPU=GPU-fef8089b": a GPU's UUID, or its beginning. Not "NVIDIA-GPU=2".
bool is_own_device(std::string_view value) {
    constexpr std::size_t kDigits = 8;
    constexpr std::string_view kHex = "0123456789abcdefABCDEF";
    for (std::size_t at = 0; at < value.size();) {
        const std::size_t begin = value.find_first_of(kHex, at);
        if (begin == std::string_view::npos) return false;
        at = std::min(value.size(), value.find_first_not_of(kHex, begin));
        if (at - begin >= kDigits) return true;
    }
    return false;
}

struct Key {
    const char* name;
    Judge is_own;
};
constexpr std::array kKeys{
    Key{"cluster-advertise", is_own_address},  // up to 20.10
    Key{"host-gateway-ip", is_own_address},
    Key{"host-gateway-ips", is_own_address},
    Key{"hosts", is_own_address},
    Key{"ip", is_own_address},
    Key{"metrics-addr", is_own_address},
    Key{"node-generic-resources", is_own_device},
    Key{"swarm-default-advertise-addr", is_own_address},
};

bool is_own_text(const boost::json::value& value, Judge is_own) {
    return value.is_string() && is_own(std::string_view(value.get_string()));
}

/// Takes what is one machine's out of the value of a key; true if there was any.
bool strip(boost::json::object& settings, const Key& key) {
    boost::json::value* const value = settings.if_contains(key.name);
    if (value == nullptr) return false;
    if (value->is_array()) {
        boost::json::array rest;
        for (const boost::json::value& entry : value->get_array()) {
            if (!is_own_text(entry, key.is_own)) rest.push_back(entry);
        }
        if (rest.size() == value->get_array().size()) return false;
        if (!rest.empty()) {
            *value = std::move(rest);
            return true;
        }
    } else if (!is_own_text(*value, key.is_own)) {
        return false;
    }
    settings.stable_erase(key.name);  // what stays keeps its order
    return true;
}

}  // namespace

Changes docker_host_settings_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const std::string& file : docker_settings(root).files) {
        const std::string text = read_regular(root, file).value_or("");
        boost::system::error_code error;
        boost::json::value settings = boost::json::parse(text, error);
        if (error || !settings.is_object()) continue;
        std::vector<std::string_view> found;
        for (const Key& key : kKeys) {
            if (strip(settings.get_object(), key)) found.emplace_back(key.name);
        }
        if (found.empty()) continue;
        changes.push_back({Change::Kind::write, file, boost::json::serialize(settings) + "\n",
                           InImageStore::refused, joined(found)});
    }
    return changes;
}

}  // namespace prebake::identity
