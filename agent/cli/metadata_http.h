#pragma once

#include <memory>

#include "agent/machine/metadata.h"

namespace prebake::cli {

/// Requests to a metadata service over our HTTP client, which knows no proxies. Nothing is started
/// before the first request.
std::unique_ptr<machine::MetadataClient> make_metadata_client();

}  // namespace prebake::cli
