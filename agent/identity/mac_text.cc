#include "agent/identity/mac_text.h"

#include <algorithm>

#include "agent/base/ascii.h"
#include "agent/base/text.h"

namespace prebake::identity {
namespace {

constexpr std::size_t kMacDigits = 12;
/// Of a list that ends with a MAC address: a client identifier with a DUID-LLT (RFC 4361, 6.1).
constexpr std::size_t kMaxOctets = 19;
/// Longer than names of interfaces (IFNAMSIZ), which stand before addresses.
constexpr std::size_t kMaxInterfaceName = 16;

/// Parts of macaddress:, MACAddress=, mac-address=, match-device=mac:, HWADDR=, hwaddress ether,
/// ATTR{address}==, lladdr, no-auto-default= (NetworkManager.conf(5)), ifname= and ip=
/// (dracut.cmdline(7)), BOOTIF= (PXELINUX).
constexpr std::array<std::string_view, 9> kMacSettings{
    "mac", "hwaddr", "address", "ether", "lladdr", "no-auto-default", "ifname=", "ip=", "bootif="};

/// Whether what begins at `at` is the rest of something longer: a list of octets, a GUID, an IPv6
/// address. Not behind a word: `mac:`, `ifname=lan0:` (dracut.cmdline(7)), `ip=lan0:dhcp:1500:`.
bool is_rest(std::string_view text, std::size_t at, char separator) {
    if (at == 0) return false;
    if (text[at - 1] != separator) return is_alphanumeric(text[at - 1]);
    const auto run_before = [&](std::size_t end) {
        std::size_t begin = end;
        while (begin > 0 && end - begin < kMaxInterfaceName && is_alphanumeric(text[begin - 1]))
            --begin;
        return text.substr(begin, end - begin);
    };
    const auto is_group = [](std::string_view run) {
        return std::all_of(run.begin(), run.end(), is_hex);
    };
    const std::string_view run = run_before(at - 1);
    constexpr std::size_t kOctet = 2;
    if (!is_group(run)) return false;
    if (run.size() == kOctet) return true;
    const std::size_t begin = at - 1 - run.size();
    if (begin == 0 || text[begin - 1] != separator) return run.empty() || separator == '-';
    return is_group(run_before(begin - 1));
}

}  // namespace

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
    if (list.octets.size() < kMacLength || is_rest(text, at, separator)) return {};
    // Goes on: a fingerprint, an IPv6 address.
    const auto continues = [&](char c) { return is_alphanumeric(c) || c == separator; };
    if (text[end - 1] == separator || (end < text.size() && continues(text[end]))) return {};
    list.length = end - at;
    list.separator = separator;
    return list;
}

bool is_mac_setting(std::string_view line_before) {
    const std::string line = lower_case(line_before);
    return std::any_of(kMacSettings.begin(), kMacSettings.end(),
                       [&](std::string_view part) { return line.find(part) != std::string::npos; });
}

std::string mac_address_of_word(std::string_view word) {
    if (word.size() < kMacDigits) return {};
    std::string digits(word);
    if (std::any_of(kInterfaceNames.begin(), kInterfaceNames.end(),
                    [&](std::string_view start) { return word.starts_with(start); }))
        digits = word.substr(3, word.find_first_of(".-_") - 3);  // "enx021122334455.100": a VLAN
    else
        std::erase(digits, '.');
    if (digits.size() != kMacDigits || !std::all_of(digits.begin(), digits.end(), is_hex))
        return {};
    for (std::size_t at = kMacDigits - 2; at > 0; at -= 2) digits.insert(at, 1, ':');
    return digits;
}

bool is_of_one_interface(std::string_view address) {
    // Shared: VRRP (RFC 9568, 7.3), and the host's side of Xen's interfaces. For documentation: RFC
    // 7042, 2.1.2.
    constexpr std::string_view kOddDigits = "13579bdf";
    return kOddDigits.find(address[1]) == std::string_view::npos &&
           address != "00:00:00:00:00:00" && address != "fe:ff:ff:ff:ff:ff" &&
           !address.starts_with("00:00:5e:00:0") && !address.starts_with("00:00:5e:00:53:");
}

}  // namespace prebake::identity
