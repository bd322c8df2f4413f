#include "agent/identity/builder_values.h"

#include <algorithm>
#include <array>
#include <utility>

#include "agent/base/ascii.h"
#include "agent/base/sha256.h"
#include "agent/base/text.h"
#include "agent/identity/items/builder_names.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/text_format.h"
#include "agent/machine/visible_file.h"

namespace prebake::identity {
namespace {

// Fingerprint::item of Seal::values.
constexpr std::string_view kWholeName = "host-name";    // matches the whole word
constexpr std::string_view kFirstLabel = "host-label";  // and the first label of a longer one
constexpr std::string_view kMacAddress = "mac-address";

// Kinds of findings.
constexpr std::string_view kName = "the builder's host name";
constexpr std::string_view kBuildersMac = "the builder's MAC address";
constexpr std::string_view kSomeMac = "a MAC address: applies to one machine only";
constexpr std::string_view kIdentity = "an identity of the builder";
constexpr std::string_view kInstanceId = "an EC2 instance ID";

/// RFC 1035, 2.3.4. Longer words are no names.
constexpr std::size_t kMaxWord = 253;
constexpr std::size_t kMinWord = 3;
constexpr std::size_t kMacLength = 17;  // with separators
constexpr std::size_t kMacDigits = 12;
/// Shorter names ("k8s", "rke2") are also names of programs, directories and labels.
constexpr std::size_t kMinDistinctive = 8;
/// Of a list that ends with a MAC address: a client identifier with a DUID-LLT (RFC 4361, 6.1).
constexpr std::size_t kMaxOctets = 19;
/// How much of a line before a value is considered.
constexpr std::size_t kMaxLineBefore = 512;
/// Hashing is the slow part, so each value is hashed once; beyond this number more often.
constexpr std::size_t kMaxRemembered = 200'000;
constexpr std::size_t kMaxInterfaces = 256;

constexpr std::array<std::string_view, 2> kSearched{"/etc/", "/var/lib/cloud/seed/"};
/// They hold addresses of other machines.
constexpr std::array<std::string_view, 4> kOfOthers{"/etc/dhcp/dhcpd", "/etc/ethers", "/etc/kea/",
                                                    "/etc/libvirt/"};

bool starts_with_one_of(std::string_view path, const auto& starts) {
    return std::any_of(starts.begin(), starts.end(),
                       [&](std::string_view start) { return path.starts_with(start); });
}

bool contains_one_of(std::string_view text, std::initializer_list<std::string_view> parts) {
    return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) {
        return text.find(part) != std::string_view::npos;
    });
}

/// "golden-vm", "builder7", "a.example": more than a word that files have for other reasons.
bool is_distinctive(std::string_view name) {
    return name.size() >= kMinDistinctive && std::any_of(name.begin(), name.end(), [](char c) {
               return is_digit(c) || c == '-' || c == '.';
           });
}

bool is_word_character(char c) {
    return is_alphanumeric(c) || c == '.' || c == '-' || c == '_';
}

bool is_comment(std::string_view line_before) {
    const std::string_view line = trimmed(line_before);
    return line.starts_with('#') || line.starts_with(';') || line.starts_with("//");
}

/// Whether the next word is the value of a setting for a host: `hostname: `, `NODE_NAME="`.
bool is_host_setting(std::string_view line_before) {
    if (is_comment(line_before)) return false;
    const std::size_t end = line_before.find_last_not_of(" \t:=\"'[(>");
    if (end == std::string_view::npos || end + 1 == line_before.size()) return false;
    std::size_t begin = end + 1;
    while (begin > 0 && is_word_character(line_before[begin - 1])) --begin;
    return contains_one_of(lower_case(line_before.substr(begin, end + 1 - begin)),
                           {"host", "fqdn", "node"});
}

/// Octets in hexadecimal, with ':' or '-' between them.
struct OctetList {
    std::string octets;      ///< in lower case with colons
    std::size_t length = 0;  ///< in the text
};

/// The list of 6 to kMaxOctets octets at `at`; an empty one if there is none.
OctetList octets_at(std::string_view text, std::size_t at) {
    const auto octet_at = [&](std::size_t i) {
        return i + 1 < text.size() && is_hex(text[i]) && is_hex(text[i + 1]);
    };
    const char separator = at + 2 < text.size() ? text[at + 2] : '\0';
    if ((separator != ':' && separator != '-') || !octet_at(at)) return {};
    OctetList list;
    std::size_t end = at;
    for (std::size_t count = 0; count < kMaxOctets && octet_at(end); ++count) {
        if (count > 0) list.octets += ':';
        list.octets += {to_lower(text[end]), to_lower(text[end + 1])};
        end += 2;
        if (end == text.size() || text[end] != separator) break;
        ++end;
    }
    // Part of something longer: a GUID, a fingerprint, an IPv6 address.
    const auto continues = [&](char c) { return is_alphanumeric(c) || c == separator; };
    if (list.octets.size() < kMacLength || (at > 0 && continues(text[at - 1]))) return {};
    if (text[end - 1] == separator || (end < text.size() && continues(text[end]))) return {};
    list.length = end - at;
    return list;
}

/// The first part of interface names that systemd makes from addresses: Ethernet, WLAN, WWAN.
constexpr std::array<std::string_view, 3> kInterfaceNames{"enx", "wlx", "wwx"};

/// The address, with colons, in an interface name (enx021122334455), or in a word that is one
/// without separators or with dots (0211.2233.4455); empty if there is none. `word` is in lower
/// case.
std::string mac_address_of_word(std::string_view word) {
    if (word.size() < kMacDigits) return {};
    std::string digits(word);
    if (starts_with_one_of(word, kInterfaceNames))
        digits = word.substr(3, word.find_first_of(".-_") - 3);  // "enx021122334455.100": a VLAN
    else
        std::erase(digits, '.');
    if (digits.size() != kMacDigits || !std::all_of(digits.begin(), digits.end(), is_hex))
        return {};
    for (std::size_t at = kMacDigits - 2; at > 0; at -= 2) digits.insert(at, 1, ':');
    return digits;
}

/// Not a group or broadcast address, nor all zeros, nor one that is shared on purpose (VRRP: RFC
/// 9568, 7.3) or only for documentation (RFC 7042, 2.1.2).
bool is_of_one_interface(std::string_view address) {
    constexpr std::string_view kOddDigits = "13579bdf";
    return kOddDigits.find(address[1]) == std::string_view::npos &&
           address != "00:00:00:00:00:00" && !address.starts_with("00:00:5e:00:0") &&
           !address.starts_with("00:00:5e:00:53:");
}

bool is_sealed(std::string_view name, const SealScope& scope) {
    return std::any_of(items().begin(), items().end(), [&](const Item& item) {
        return item.name == name && treatment_of(item, scope) == Treatment::seal;
    });
}

std::string hash_of(const std::string& salt, std::string_view value) {
    return sha256_hex(salt + std::string(value));
}

}  // namespace

bool searches_for_names(const SealScope& scope) {
    return is_sealed("hostname", scope);
}

bool searches_for_mac_addresses(const SealScope& scope) {
    return is_sealed("network-profiles", scope);
}

BuilderValues builder_values(const machine::Root& root) {
    BuilderValues values{.names = builder_names(root), .mac_addresses = {}};
    const auto add_name = [&values](std::string_view name) {
        std::string lower = lower_case(name);
        if (first_label(lower) != "localhost" &&
            std::count(values.names.begin(), values.names.end(), lower) == 0) {
            values.names.push_back(std::move(lower));
        }
    };
    const std::string hosts = root.read("/etc/hosts", kMaxTextBytes).value_or("");
    for (const std::string_view line : lines_of(hosts)) {
        const std::vector<std::string_view> words = words_of(line);
        // The host's own names (Debian Reference, 5.1.1).
        if (words.empty() || words.front() != "127.0.1.1") continue;
        for (std::size_t i = 1; i < words.size(); ++i) add_name(words[i]);
    }
    if (!root.is_running_machine()) return values;
    if (const std::string name = machine::visible_text(root, "/proc/sys/kernel/hostname");
        machine::is_dns_name(name)) {
        add_name(name);
    }
    constexpr std::string_view kInterfaces = "/sys/class/net/";
    for (const std::string& name : root.names_in(kInterfaces)) {
        if (values.mac_addresses.size() == kMaxInterfaces) break;
        const std::string interface = std::string(kInterfaces) + name;
        // Bridges, tunnels and the like have no device.
        if (!root.info(interface + "/device")) continue;
        const std::string text = machine::visible_text(root, interface + "/address");
        std::string address = octets_at(text, 0).octets;
        if (address.size() == kMacLength && is_of_one_interface(address))
            values.mac_addresses.insert(std::move(address));
    }
    return values;
}

std::vector<v1::Fingerprint> hashes_of(const BuilderValues& values, const std::string& salt) {
    std::vector<v1::Fingerprint> hashes;
    const auto add = [&](std::string_view item, std::string_view value) {
        v1::Fingerprint& hash = hashes.emplace_back();
        hash.set_item(std::string(item));
        hash.set_hash(hash_of(salt, value));
    };
    for (const std::string& name : values.names) {
        // As names_builder() compares them: two full names must be equal.
        if (name.find('.') == std::string::npos) {
            add(kFirstLabel, name);
        } else {
            add(kWholeName, name);
            add(kWholeName, first_label(name));
        }
    }
    for (const std::string& address : values.mac_addresses) add(kMacAddress, address);
    return hashes;
}

ValueFinder::ValueFinder(BuilderValues now, const v1::Seal& seal, const SealScope& scope)
    : now_(std::move(now)),
      names_(searches_for_names(scope)),
      mac_addresses_(searches_for_mac_addresses(scope)),
      salt_(seal.salt()) {
    if (salt_.empty()) return;
    for (const v1::Fingerprint& value : seal.values()) {
        for (const std::string_view kind : {kWholeName, kFirstLabel, kMacAddress}) {
            if (value.item() == kind) sealed_.emplace(value.hash(), kind);
        }
    }
    for (const v1::Fingerprint& fingerprint : seal.fingerprints())
        sealed_.emplace(fingerprint.hash(), kIdentity);
}

std::string_view ValueFinder::sealed_kind(const std::string& value) {
    if (sealed_.empty() || unsealed_.count(value) != 0) return {};
    const auto sealed = sealed_.find(hash_of(salt_, value));
    if (sealed != sealed_.end()) return sealed->second;
    if (unsealed_.size() < kMaxRemembered) unsealed_.insert(value);
    return {};
}

bool ValueFinder::is_name(const std::string& word, std::string_view line_before) {
    const std::string label(first_label(word));
    const std::string_view whole = sealed_kind(word);
    const bool is_known = names_builder(word, now_.names) || whole == kWholeName ||
                          whole == kFirstLabel || sealed_kind(label) == kFirstLabel;
    if (!is_known) return false;
    // A full name is distinctive if the machine has it, and not if only its first label is known.
    const bool is_full =
        whole == kWholeName || std::count(now_.names.begin(), now_.names.end(), word) != 0;
    // Packaged samples name hosts in comments, too.
    if (is_comment(line_before)) return label.starts_with("ip-") && names_builder(label, {});
    return is_distinctive(is_full ? word : label) || is_host_setting(line_before);
}

std::string_view ValueFinder::judge_word(std::string_view word, std::string_view path,
                                         std::string_view line_before) {
    if (word.size() < kMinWord || word.size() > kMaxWord) return {};
    const std::string lower = lower_case(word);
    if (const std::string address = mac_address_of_word(lower); !address.empty()) {
        const bool is_interface = starts_with_one_of(lower, kInterfaceNames);
        const std::string_view kind = judge_mac_address(
            address, is_interface ? MacForm::interface_name : MacForm::part, path, line_before);
        if (!kind.empty()) return kind;
    }
    // Some identities are names that people choose (Salt's minion_id).
    if (is_distinctive(lower) && sealed_kind(lower) == kIdentity) return kIdentity;
    if (!names_ || first_label(lower) == "localhost") return {};
    if (machine::is_ec2_instance_id(lower))
        return is_comment(line_before) ? std::string_view() : kInstanceId;
    return is_name(lower, line_before) ? kName : std::string_view();
}

std::string_view ValueFinder::judge_mac_address(const std::string& address, MacForm form,
                                                std::string_view path,
                                                std::string_view line_before) {
    if (!mac_addresses_ || !is_of_one_interface(address)) return {};
    if (now_.mac_addresses.count(address) != 0 || sealed_kind(address) == kMacAddress)
        return kBuildersMac;
    if (form == MacForm::part || starts_with_one_of(path, kOfOthers) || is_comment(line_before))
        return {};
    // macaddress:, MACAddress=, mac-address=, HWADDR=, hwaddress ether, ATTR{address}==
    const bool is_setting =
        form == MacForm::interface_name ||
        contains_one_of(lower_case(line_before), {"mac", "hwaddr", "address", "ether", "lladdr"});
    return is_setting ? kSomeMac : std::string_view();
}

void ValueFinder::locate(std::string_view path, std::string_view text, std::size_t from,
                         std::size_t to, std::vector<secrets::LocatedSecret>& located) {
    if (!starts_with_one_of(path, kSearched) || text.find('\0') != std::string_view::npos) return;
    std::size_t line_begin = from;
    while (line_begin > 0 && text[line_begin - 1] != '\n') --line_begin;
    const auto add = [&](std::string_view kind, std::size_t offset) {
        if (!kind.empty()) located.push_back({kind, offset, secrets::Evidence::value});
    };
    for (std::size_t at = from; at < to;) {
        if (text[at] == '\n') line_begin = at + 1;
        if (!is_word_character(text[at]) || (at > 0 && is_word_character(text[at - 1]))) {
            ++at;
            continue;
        }
        const std::size_t before = std::max(line_begin, at - std::min(at, kMaxLineBefore));
        const std::string_view line_before = text.substr(before, at - before);
        if (const OctetList list = octets_at(text, at); list.length != 0) {
            const std::string address = list.octets.substr(list.octets.size() - kMacLength);
            const MacForm form = list.length == kMacLength ? MacForm::plain : MacForm::part;
            add(judge_mac_address(address, form, path, line_before), at);
            at += list.length;
            continue;
        }
        std::size_t end = at;
        while (end < text.size() && is_word_character(text[end])) ++end;
        std::string_view word = text.substr(at, end - at);
        while (!word.empty() && !is_alphanumeric(word.back())) word.remove_suffix(1);
        add(judge_word(word, path, line_before), at);
        at = end;
    }
}

}  // namespace prebake::identity
