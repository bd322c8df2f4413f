#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace prebake::registry {

/// No more than this is read of the body of an error response.
inline constexpr std::size_t kMaxErrorBytes = 64UL << 10;

/// What the body of an error response gives as its reason, as one printable line of at most 300
/// bytes. Empty if it gives none. Has "…" in place of `secrets`, which were sent (secrets.h). Pure.
///
/// It reads the registries' error document ("MANIFEST_UNKNOWN: manifest unknown";
/// distribution-spec "Error Codes"), other JSON with a message, the XML of object storage, the
/// title or the text of an HTML page, and plain text.
std::string diagnosis(std::string_view body, const std::vector<std::string>& secrets);

}  // namespace prebake::registry
