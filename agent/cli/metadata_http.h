#pragma once

#include <memory>

#include "agent/machine/metadata.h"

namespace prebake::cli {

/// The way to a metadata service: the HTTP client that registries are reached by, without its
/// patience. Proxies are not used: that client knows none. Nothing is started before the first
/// request.
std::unique_ptr<machine::MetadataTransport> make_metadata_transport();

}  // namespace prebake::cli
