#pragma once

#include <compare>
#include <string>
#include <string_view>

namespace prebake::oci {

/// A content digest "algorithm:encoded" (OCI image-spec, descriptor.md "Digests"). Always
/// well-formed. Only sha256 is accepted: containerd's content store verifies nothing else (every
/// version to 2.3).
class Digest {
  public:
    /// @throws Error usage if malformed, unsupported for a registered algorithm other than sha256.
    static Digest parse(std::string_view text);
    /// The sha256 of `bytes`.
    static Digest of(std::string_view bytes);

    /// "sha256:<64 hex>"
    const std::string& str() const { return text_; }
    /// The 64 hex digits alone.
    std::string_view hex() const { return std::string_view(text_).substr(7); }
    /// "sha256:0123456789ab", for people.
    std::string short_form() const { return text_.substr(0, 19); }

    auto operator<=>(const Digest&) const = default;

  private:
    explicit Digest(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

}  // namespace prebake::oci
