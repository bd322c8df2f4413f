#include "agent/identity/fingerprints.h"

#include <algorithm>
#include <set>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/sha256.h"
#include "agent/base/text.h"
#include "agent/machine/random.h"

namespace prebake::identity {
namespace {

constexpr std::size_t kSaltBytes = 16;
/// Host certificates are the largest. A longer file is not an identity.
constexpr std::size_t kMaxIdentityBytes = 64UL << 10;
constexpr std::size_t kMaxFingerprints = 256;
constexpr std::string_view kBlanks = " \t\r\n";

/// The first two words of an OpenSSH public key: its type and the key.
std::string_view without_comment(std::string_view key) {
    const std::size_t type_end = key.find_first_of(kBlanks);
    const std::size_t begin = key.find_first_not_of(kBlanks, type_end);
    if (begin == std::string_view::npos) return key;
    return key.substr(0, key.find_first_of(kBlanks, begin));
}

/// iscsid generates a name if the file requests one. That request is not an identity.
std::string_view initiator_name(std::string_view file) {
    constexpr std::string_view kKey = "InitiatorName=";
    for (const std::string_view line : lines_of(file)) {
        if (line.starts_with(kKey)) return trimmed(line.substr(kKey.size()));
    }
    return {};
}

}  // namespace

std::string make_salt() {
    return machine::random_hex(kSaltBytes);
}

std::string identity_in(std::string_view path, std::string_view contents) {
    std::string_view identity = trimmed(contents);
    if (path.ends_with("/machine-id") && identity == "uninitialized") return {};
    if (path.ends_with("/initiatorname.iscsi")) identity = initiator_name(contents);
    if (path.ends_with(".pub")) identity = without_comment(identity);
    return std::string(identity);
}

std::vector<v1::Fingerprint> take_fingerprints(const machine::Root& root,
                                               const std::vector<Item>& list,
                                               const std::string& salt) {
    std::vector<v1::Fingerprint> fingerprints;
    std::set<std::pair<std::string, std::string>> taken;  // one path may match two proofs
    for (const Item& item : list) {
        std::vector<std::string> paths;
        std::vector<Error> ignored;
        for (const std::string_view proof : item.proofs) {
            const std::vector<std::string> found = root.match(proof, ignored);
            paths.insert(paths.end(), found.begin(), found.end());
        }
        for (const std::string& path : paths) {
            if (fingerprints.size() == kMaxFingerprints) return fingerprints;
            if (!taken.emplace(item.name, path).second) continue;
            std::string identity;
            try {
                identity = identity_in(path, root.read(path, kMaxIdentityBytes).value_or(""));
            } catch (const Error&) {
                continue;  // the survey of the item reports what cannot be read
            }
            if (identity.empty()) continue;
            v1::Fingerprint fingerprint;
            fingerprint.set_item(std::string(item.name));
            fingerprint.set_path(printable(path));
            fingerprint.set_hash(sha256_hex(salt + identity));
            fingerprints.push_back(std::move(fingerprint));
        }
    }
    return fingerprints;
}

std::vector<v1::Fingerprint> unchanged_fingerprints(const machine::Root& root,
                                                    const std::vector<Item>& list,
                                                    const v1::Seal& seal) {
    std::set<std::string> present;
    for (const v1::Fingerprint& now : take_fingerprints(root, list, seal.salt()))
        present.insert(now.hash());
    std::vector<v1::Fingerprint> unchanged;
    for (const v1::Fingerprint& sealed : seal.fingerprints()) {
        if (present.count(sealed.hash()) != 0) unchanged.push_back(sealed);
    }
    return unchanged;
}

}  // namespace prebake::identity
