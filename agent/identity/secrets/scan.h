#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/secrets/patterns.h"
#include "agent/identity/secrets/places.h"
#include "agent/machine/named_files.h"
#include "agent/machine/root.h"

namespace prebake::identity::secrets {

struct ScanLimits {
    std::chrono::milliseconds time{120'000};
    std::uint64_t bytes = 8ULL << 30;         ///< in total
    std::uint64_t file_bytes = 256ULL << 20;  ///< of one file; larger files count as not scanned

    bool operator==(const ScanLimits&) const = default;
};

struct FoundSecret {
    std::string path;
    std::string_view kind;
    std::uint64_t line = 1;
    Evidence evidence = Evidence::format;
};

struct NotScanned {
    std::string path;
    std::string reason;
};

struct SecretScan {
    std::vector<FoundSecret> secrets;
    std::vector<NotScanned> not_scanned;  ///< what may hide a secret
    std::vector<NotScanned> left_out;  ///< on purpose: search_area(), and what has to be unpacked
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;
};

/// Adds more findings in [from, to) of a piece of the file `path`; see locate_secrets().
using LocateMore =
    std::function<void(std::string_view path, std::string_view text, std::size_t from,
                       std::size_t to, std::vector<LocatedSecret>& located)>;

/// Searches the disks of the machine for secrets: the root file system, and others that are mounted
/// in it (network file systems and those in memory do not become part of an image), and overlays. A
/// directory that is mounted at several paths is searched at one of them. `left_out` says what is
/// not searched: container images, package databases, programs, `kept`, read-only btrfs snapshots;
/// also files that are compressed (except with gzip), and keystores without a visible key. `places`
/// changes this. Among files of packages, those that only their owner may read are searched, after
/// everything else. Text in UTF-16 is searched, too. Files are read in overlapping pieces, so
/// memory is bounded. Limits that are reached are findings (`not_scanned`), as are files that
/// cannot be read.
/// @throws Error cancelled only.
SecretScan scan_for_secrets(const machine::Root& root, const machine::NamedFiles& kept,
                            const SearchPlaces& places, const ScanLimits& limits,
                            const std::stop_token& stop, const LocateMore& locate_more = {});

}  // namespace prebake::identity::secrets
