#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/oci/manifest.h"
#include "agent/oci/reference.h"
#include "agent/registry/request_sender.h"
#include "agent/registry/retry.h"

/// What refers to an image in its repository: signatures, SBOMs (distribution-spec 1.1, "Listing
/// Referrers").
namespace prebake::registry {

/// The query that leads to the next page, with its '?': of the Link header with rel=next. Empty if
/// there is none. The path of the link does not count: a registry must not lead elsewhere.
std::string next_page_of(const http::Headers& headers);

/// The manifests that refer to `subject`, as the referrers API lists them, up to
/// oci::kMaxIndexEntries. An empty list of a mirror does not count if another host can be asked.
/// Nothing if the registry does not have this API, or answers something
/// else. @throws Error as Remote, except not_found, unauthenticated, permission_denied and
/// unsupported, by which registries without the API refuse a path that they do not know.
std::optional<std::vector<oci::Descriptor>> list_referrers(RequestSender& sender,
                                                           const RetryOptions& options,
                                                           const oci::Reference& repository,
                                                           const oci::Digest& subject,
                                                           const std::stop_token& stop);

/// The tag of the index that stands in for the API ("Referrers Tag Schema").
std::string referrers_tag(const oci::Digest& subject);

}  // namespace prebake::registry
