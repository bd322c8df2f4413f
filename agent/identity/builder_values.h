#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "agent/identity/host_settings.h"
#include "agent/identity/mac_text.h"
#include "agent/identity/scope.h"
#include "agent/identity/secrets/patterns.h"
#include "agent/machine/root.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity {

/// Whether the values are removed, and so must not be found: not if the item that removes them is
/// skipped. Pure.
bool searches_for_names(const SealScope& scope);
bool searches_for_mac_addresses(const SealScope& scope);

/// What a machine is called, as it stands in configuration files.
struct BuilderValues {
    std::vector<std::string> names;       ///< as builder_names()
    std::set<std::string> mac_addresses;  ///< "02:11:22:33:44:55"
};

/// The names of the machine in `root` (also those of 127.0.1.1 in /etc/hosts, and of the kernel if
/// it is the running machine), and, if it is the running one, the MAC addresses of its network
/// interfaces, not of bridges and the like. @throws Error permission_denied, io, too_large.
BuilderValues builder_values(const machine::Root& root);

/// Salted hashes of the values, for Seal::values: a seal removes the values themselves, and a later
/// check must still find them. Pure.
std::vector<v1::Fingerprint> hashes_of(const BuilderValues& values, const std::string& salt);

/// Finds, in text files that configure a machine (all below /etc, and cloud-init's seeds), what
/// ties them to the builder:
///   - its host names, also as the first label of a longer name. A name of fewer than 5 characters,
///     or without a digit, '-' or '.' ("k8s", "ubuntu"), counts only as the value of a setting for
///     a host ("hostname: ubuntu"; see is_host_setting());
///   - host names and instance IDs that clouds make up (ip-10-0-0-5, i-0123456789abcdef0);
///   - its MAC addresses, also without separators (021122334455) and at the end of a longer list of
///     octets (a DHCP client identifier);
///   - each MAC address in a setting for one, or in the name of an interface (enx021122334455): a
///     profile with one applies to one machine. Not what a DHCP server or libvirt gives to others;
///   - identities that a seal removed (Seal::fingerprints), such as the machine-id.
/// The name of a file counts as well. In a comment (a line that starts with '#', ';' or "//"), of
/// names only ip-10-0-0-5 and the like count, and of MAC addresses only the builder's. `now` is
/// what is known in plain; `seal` holds hashes.
class ValueFinder {
  public:
    ValueFinder(BuilderValues now, const v1::Seal& seal, const SealScope& scope);

    /// As secrets::LocateMore.
    void locate(std::string_view path, std::string_view text, std::size_t from, std::size_t to,
                std::vector<secrets::LocatedSecret>& located);

  private:
    enum class Place { contents, file_name };
    struct Searched {
        std::string_view path;
        std::string_view text;
        Place place;
    };
    /// `named`: in the name of an interface or a file. `part`: without separators, or at the end of
    /// a longer list. It may be something else, and counts only if it is the builder's.
    enum class MacForm { plain, named, part };
    static MacForm form_of(const OctetList& list, Place place, std::string_view line_before);

    void locate_in(const Searched& searched, std::size_t from, std::size_t to,
                   std::vector<secrets::LocatedSecret>& located);

    std::string_view judge_word(std::string_view word, std::string_view path, const Before& before);
    bool is_name(const std::string& word, const Before& before);
    std::string_view judge_mac_address(const std::string& address, MacForm form,
                                       std::string_view path, std::string_view line_before);
    std::string_view sealed_kind(const std::string& value);

    const BuilderValues now_;
    const bool names_;
    const bool mac_addresses_;
    const std::string salt_;
    std::map<std::string, std::string_view> sealed_;  ///< kind by hash
    std::unordered_set<std::string> unsealed_;        ///< values whose hash is not among them
};

}  // namespace prebake::identity
