#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "proto/prebake/v1/report.pb.h"

namespace prebake::cli {

/// What the identity items of caches and temporary files would remove: every clone has it on its
/// disk. Only if it is worth a line: 1 MiB and more on a disk of the machine in `root`. What cannot
/// be read is left out.
/// @throws Error permission_denied, io.
std::vector<v1::BuildLeftovers> find_build_leftovers(const std::filesystem::path& root);

/// "package-caches: 182 MiB in /var/cache/apt/archives and 3 others; prebake seal --also
/// package-caches removes them". Pure.
std::string describe(const v1::BuildLeftovers& leftovers);

}  // namespace prebake::cli
