#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace prebake::hydrate {

/// A file as a container sees it whose layers are these directories, the uppermost first: with
/// whiteouts, opaque directories and links. `path` is without a leading slash. Nothing if there is
/// no such regular file. Links never lead out of the layers.
/// @throws Error io; too_large over `limit` bytes.
std::optional<std::string> read_merged_file(const std::vector<std::filesystem::path>& layers,
                                            const std::string& path, std::size_t limit);

}  // namespace prebake::hydrate
