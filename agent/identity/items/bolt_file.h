#pragma once

#include <optional>
#include <string_view>

namespace prebake::identity {

/// Whether a bucket at the top of a bolt database (bbolt, the file format of BuildKit's and
/// containerd's records) is empty or missing. Nothing if the file cannot be read as one: it is
/// damaged, or has more buckets than one page names. `fd` is the file, opened for reading.
std::optional<bool> is_bolt_bucket_empty(int fd, std::string_view bucket);

}  // namespace prebake::identity
