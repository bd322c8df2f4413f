#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace prebake {

/// RFC 4648 section 4, with padding.
std::string base64_encode(std::string_view bytes);

/// Skips line breaks, as in a long token that base64(1) wrapped. The padding may be missing.
/// Returns nothing if `text` is not base64.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace prebake
