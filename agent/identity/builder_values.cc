#include "agent/identity/builder_values.h"

#include <algorithm>
#include <array>
#include <utility>

#include "agent/base/ascii.h"
#include "agent/base/sha256.h"
#include "agent/base/text.h"
#include "agent/identity/host_settings.h"
#include "agent/identity/items/builder_names.h"
#include "agent/identity/items/lines.h"
#include "agent/identity/mac_text.h"
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
/// How much of a line before a value is considered, and of the lines above it.
constexpr std::size_t kMaxLineBefore = 512;
constexpr std::size_t kMaxLinesAbove = 1024;
/// Hashing is the slow part, so each value is hashed once; beyond this number more often.
constexpr std::size_t kMaxRemembered = 200'000;
constexpr std::size_t kMaxInterfaces = 256;

constexpr std::array<std::string_view, 2> kSearched{"/etc/", "/var/lib/cloud/seed/"};
/// They hold addresses of other machines.
constexpr std::array<std::string_view, 4> kOfOthers{"/etc/dhcp/dhcpd", "/etc/ethers", "/etc/kea/",
                                                    "/etc/libvirt/"};
/// Their lines say which address has which interface (nameif(8)).
constexpr std::array<std::string_view, 2> kInterfaceTables{"/etc/mactab", "/etc/iftab"};

bool starts_with_one_of(std::string_view path, const auto& starts) {
    return std::any_of(starts.begin(), starts.end(),
                       [&](std::string_view start) { return path.starts_with(start); });
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

bool ValueFinder::is_name(const std::string& word, const Before& before) {
    const std::string label(first_label(word));
    const std::string_view whole = sealed_kind(word);
    const bool is_known = names_builder(word, now_.names) || whole == kWholeName ||
                          whole == kFirstLabel || sealed_kind(label) == kFirstLabel;
    if (!is_known) return false;
    // A full name is distinctive if the machine has it, and not if only its first label is known.
    const bool is_full =
        whole == kWholeName || std::count(now_.names.begin(), now_.names.end(), word) != 0;
    // Packaged samples name hosts in comments, too.
    if (is_comment(before.line)) return label.starts_with("ip-") && names_builder(label, {});
    return is_distinctive(is_full ? word : label) || is_host_setting(before, label);
}

std::string_view ValueFinder::judge_word(std::string_view word, std::string_view path,
                                         const Before& before) {
    if (word.size() < kMinWord || word.size() > kMaxWord) return {};
    const std::string lower = lower_case(word);
    if (const std::string address = mac_address_of_word(lower); !address.empty()) {
        const bool is_interface = starts_with_one_of(lower, kInterfaceNames);
        const std::string_view kind = judge_mac_address(
            address, is_interface ? MacForm::named : MacForm::part, path, before.line);
        if (!kind.empty()) return kind;
    }
    // Some identities are names that people choose (Salt's minion_id).
    if (is_distinctive(lower) && sealed_kind(lower) == kIdentity) return kIdentity;
    if (!names_ || first_label(lower) == "localhost") return {};
    if (machine::is_ec2_instance_id(lower))
        return is_comment(before.line) ? std::string_view() : kInstanceId;
    return is_name(lower, before) ? kName : std::string_view();
}

std::string_view ValueFinder::judge_mac_address(const std::string& address, MacForm form,
                                                std::string_view path,
                                                std::string_view line_before) {
    if (!mac_addresses_ || !is_of_one_interface(address)) return {};
    if (now_.mac_addresses.count(address) != 0 || sealed_kind(address) == kMacAddress)
        return kBuildersMac;
    if (form == MacForm::part || starts_with_one_of(path, kOfOthers) || is_comment(line_before))
        return {};
    const bool is_setting = form == MacForm::named || is_mac_setting(line_before) ||
                            starts_with_one_of(path, kInterfaceTables);
    return is_setting ? kSomeMac : std::string_view();
}

ValueFinder::MacForm ValueFinder::form_of(const OctetList& list, Place place,
                                          std::string_view line_before) {
    // PXELINUX puts the type of the hardware, Ethernet, before the address.
    const bool is_boot_interface = list.octets.size() == kMacLength + 3 &&
                                   list.octets.starts_with("01:") &&
                                   lower_case(line_before).ends_with("bootif=");
    if (list.octets.size() != kMacLength && !is_boot_interface) return MacForm::part;
    if (place == Place::contents) return MacForm::plain;
    // "log-24-01-31-12-00-00" is a time.
    const bool is_time = std::none_of(list.octets.begin(), list.octets.end(),
                                      [](char c) { return is_hex(c) && !is_digit(c); });
    return is_time && list.separator == '-' ? MacForm::part : MacForm::named;
}

void ValueFinder::locate(std::string_view path, std::string_view text, std::size_t from,
                         std::size_t to, std::vector<secrets::LocatedSecret>& located) {
    if (!starts_with_one_of(path, kSearched)) return;
    // A file may be named after what it is for: ifcfg-eth-id-00:50:56:aa:bb:cc.
    const std::string_view name = path.substr(path.rfind('/') + 1);
    if (from == 0 && (to > 0 || text.empty()))
        locate_in({path, name, Place::file_name}, 0, name.size(), located);
    if (text.find('\0') == std::string_view::npos)
        locate_in({path, text, Place::contents}, from, to, located);
}

void ValueFinder::locate_in(const Searched& searched, std::size_t from, std::size_t to,
                            std::vector<secrets::LocatedSecret>& located) {
    const std::string_view text = searched.text;
    std::size_t line_begin = from;
    while (line_begin > 0 && text[line_begin - 1] != '\n') --line_begin;
    const auto add = [&](std::string_view kind, std::size_t offset) {
        if (searched.place == Place::file_name) offset = 0;
        if (!kind.empty()) located.push_back({kind, offset, secrets::Evidence::value});
    };
    const auto before = [&](std::size_t at) {
        const std::size_t begin = std::max(line_begin, at - std::min(at, kMaxLineBefore));
        const std::size_t above = line_begin - std::min(line_begin, kMaxLinesAbove);
        return Before{text.substr(begin, at - begin), text.substr(above, line_begin - above)};
    };
    for (std::size_t at = from; at < to;) {
        if (text[at] == '\n') line_begin = at + 1;
        if (!is_word_character(text[at]) || (at > 0 && is_word_character(text[at - 1]))) {
            ++at;
            continue;
        }
        std::size_t end = at;
        while (end < text.size() && is_word_character(text[end])) ++end;
        // An address may also begin inside a word.
        OctetList list;
        std::size_t octets = at;
        for (; octets < end; ++octets) {
            if (octets > at && is_alphanumeric(text[octets - 1])) continue;
            list = octets_at(text, octets);
            if (list.length != 0) break;
        }
        if (list.length != 0) {
            const std::string address = list.octets.substr(list.octets.size() - kMacLength);
            const std::string_view line_before = before(octets).line;
            const MacForm form = form_of(list, searched.place, line_before);
            add(judge_mac_address(address, form, searched.path, line_before), octets);
            at = octets + list.length;
            continue;
        }
        std::string_view word = text.substr(at, end - at);
        while (!word.empty() && !is_alphanumeric(word.back())) word.remove_suffix(1);
        add(judge_word(word, searched.path, before(at)), at);
        at = end;
    }
}

}  // namespace prebake::identity
