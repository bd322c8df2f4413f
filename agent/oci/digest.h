#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "agent/base/sha256.h"

namespace prebake::oci {

/// A content digest "algorithm:encoded" (OCI image-spec, descriptor.md "Digests"), kept as the 32
/// bytes of its hash. Only sha256 is accepted: containerd's content store verifies nothing else
/// (every version to 2.3).
class Digest {
  public:
    explicit Digest(const Sha256Hash& hash) : hash_(hash) {}

    /// @throws Error usage if malformed, unsupported for a registered algorithm other than sha256.
    static Digest parse(std::string_view text);
    /// The result of parse(); nothing if it would throw.
    static std::optional<Digest> try_parse(std::string_view text) noexcept;
    /// The sha256 of `bytes`.
    static Digest of(std::string_view bytes);

    /// "sha256:<64 lower-case hex digits>"
    std::string str() const;
    /// The 64 hex digits alone.
    std::string hex() const;
    /// "sha256:0123456789ab", for people.
    std::string short_form() const { return str().substr(0, 19); }

    const Sha256Hash& hash() const { return hash_; }

    /// The order of the bytes, which is also that of the text.
    auto operator<=>(const Digest&) const = default;

  private:
    Sha256Hash hash_;
};

}  // namespace prebake::oci

/// The first bytes of a digest are as good a hash as any.
template <>
struct std::hash<prebake::oci::Digest> {
    std::size_t operator()(const prebake::oci::Digest& digest) const noexcept;
};

namespace prebake::oci {

using DigestSet = std::unordered_set<Digest>;
template <typename Value>
using DigestMap = std::unordered_map<Digest, Value>;

}  // namespace prebake::oci
