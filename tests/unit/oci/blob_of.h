#pragma once

#include <string>

#include "agent/oci/manifest.h"

namespace prebake::oci::test {

/// The descriptor of a blob with these bytes.
inline Descriptor blob_of(const std::string& bytes, const std::string& media_type) {
    return {.media_type = media_type,
            .digest = Digest::of(bytes),
            .size = bytes.size(),
            .annotations = {},
            .platform = {}};
}

}  // namespace prebake::oci::test
