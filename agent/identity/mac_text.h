#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace prebake::identity {

// MAC addresses as they stand in texts. All pure.

inline constexpr std::size_t kMacLength = 17;  ///< with separators

/// Octets in hexadecimal, with ':' or '-' between them.
struct OctetList {
    std::string octets;      ///< in lower case with colons
    std::size_t length = 0;  ///< in the text
    char separator = ':';
};

/// The list of 6 to 19 octets at `at`; an empty one if there is none, or only a part of something
/// longer: a fingerprint, a GUID, an IPv6 address. A word may stand before it: `mac:`.
OctetList octets_at(std::string_view text, std::size_t at);

/// Whether what follows is the value of a setting for a MAC address.
bool is_mac_setting(std::string_view line_before);

/// The first part of interface names that systemd makes from addresses: Ethernet, WLAN, WWAN.
inline constexpr std::array<std::string_view, 3> kInterfaceNames{"enx", "wlx", "wwx"};

/// The address, with colons, in an interface name (enx021122334455), or in a word that is one
/// without separators or with dots (0211.2233.4455); empty if there is none. `word` is in lower
/// case.
std::string mac_address_of_word(std::string_view word);

/// Not a group or broadcast address, nor all zeros, nor one that is shared on purpose or only for
/// documentation.
bool is_of_one_interface(std::string_view address);

}  // namespace prebake::identity
