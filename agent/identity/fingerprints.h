#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/item.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity {

/// 16 bytes of the kernel's randomness in hex.
std::string make_salt();

/// The identity in a file that an item names as proof: for an OpenSSH public key (*.pub) its key
/// material without the comment, else the contents without surrounding white space. Empty if the
/// file says nothing, or only that an identity is still to be made.
std::string identity_in(std::string_view path, std::string_view contents);

/// Salted hashes of every identity that the proofs of `list` find. What cannot be read gives none.
std::vector<v1::Fingerprint> take_fingerprints(const machine::Root& root,
                                               const std::vector<Item>& list,
                                               const std::string& salt);

/// The sealed fingerprints that `root` still (or again) has: proof that an identity did not change.
std::vector<v1::Fingerprint> unchanged_fingerprints(const machine::Root& root,
                                                    const std::vector<Item>& list,
                                                    const v1::Seal& seal);

}  // namespace prebake::identity
