#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/item.h"
#include "agent/machine/root.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity {

/// 16 random bytes in hex.
std::string make_salt();

/// The identity in a file that an item names as proof: for an OpenSSH public key (*.pub) its key
/// material without the comment, else the trimmed contents. Empty if the file is empty, or only
/// requests a new identity.
std::string identity_in(std::string_view path, std::string_view contents);

/// Salted hashes of all identities that the proofs of `list` match. Files that cannot be read are
/// left out.
std::vector<v1::Fingerprint> take_fingerprints(const machine::Root& root,
                                               const std::vector<Item>& list,
                                               const std::string& salt);

/// The sealed fingerprints that `root` still, or again, has: these identities did not change.
std::vector<v1::Fingerprint> unchanged_fingerprints(const machine::Root& root,
                                                    const std::vector<Item>& list,
                                                    const v1::Seal& seal);

}  // namespace prebake::identity
