#pragma once

#include <deque>
#include <optional>
#include <set>
#include <stop_token>
#include <string>

#include "agent/base/error.h"
#include "agent/oci/image.h"
#include "agent/oci/reference.h"
#include "agent/registry/remote.h"
#include "agent/trust/verification.h"

namespace prebake::trust {

/// The signature objects of an image in its repository: what refers to it and is a Sigstore bundle
/// or a signature of cosign, then what has the tag "sha256-<hex>.sig". Each is asked for when it
/// is needed. The referenced objects must live longer.
class RegistrySignatures final : public SignatureSource {
  public:
    /// Manifests and blobs come from `documents`, which may have them already.
    RegistrySignatures(registry::Remote& remote, oci::DocumentSource& documents,
                       oci::Reference repository, const oci::Digest& subject, std::stop_token stop);

    std::optional<oci::Document> next() override;
    oci::Document blob(const oci::Descriptor& descriptor) override;

  private:
    enum class Step { referrers, listed, end };

    void list();
    std::optional<oci::Document> tagged();

    registry::Remote& remote_;
    oci::DocumentSource& documents_;
    oci::Reference repository_;
    oci::Digest subject_;
    std::stop_token stop_;
    Step step_ = Step::referrers;
    std::deque<oci::Descriptor> listed_;
    std::set<std::string> others_;   ///< what else there is, and why it does not count
    std::optional<Error> unlisted_;  ///< why the referrers are not known
};

}  // namespace prebake::trust
