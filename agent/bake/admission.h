#pragma once

#include <string>
#include <vector>

#include "agent/bake/document_cache.h"
#include "agent/bake/resolve.h"
#include "agent/containerd/connection.h"
#include "agent/registry/remote.h"
#include "agent/trust/policy.h"
#include "agent/trust/verifier_programs.h"
#include "proto/prebake/v1/bake_record.pb.h"

/// Whether an image may be baked at all.
namespace prebake::bake {

/// What an image has to pass before anything of it is stored. The policy must live longer.
struct Admission {
    const trust::Policy& policy;
    trust::VerifierPrograms verifiers = {};  ///< that containerd would run
};

/// Finds the signatures that the policy requires, and asks containerd's image verifiers about each
/// name of the image. Not about a sandbox image that CRI has: containerd would not pull it.
/// @throws Error as find_proofs() and trust::require_accepted().
void admit(ResolvedImage& image, const Admission& admission, registry::Remote& remote,
           const containerd::Connection& connection, DocumentCache& cache);

/// The names of the image's repositories: of its reference, and of its aliases. An image from a
/// mirror that is also named docker.io/library/nginx must be what the rule about that name wants.
std::vector<std::string> repositories_of(const ImageRequest& request);

/// Finds the signatures that the rules about the image require, in its repository. One signature is
/// enough for each rule. Empty if none is required; then the registry is not asked.
/// @throws Error untrusted that says what was found instead; otherwise as trust::find_proof().
std::vector<trust::Proof> find_proofs(const ResolvedImage& image, const trust::Policy& policy,
                                      registry::Remote& remote,
                                      const containerd::Connection& connection,
                                      DocumentCache& cache);

/// The bake record's entry for a proof.
v1::Signature record_of(const trust::Proof& proof);

/// The proofs of a recorded image whose documents some of the namespaces have. @throws Error if
/// containerd does not answer.
std::vector<trust::Proof> stored_proofs(const v1::BakedImage& image,
                                        const containerd::Connection& connection,
                                        const std::vector<std::string>& namespaces);

}  // namespace prebake::bake
