#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

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
};

struct NotScanned {
    std::string path;
    std::string reason;
};

struct SecretScan {
    std::vector<FoundSecret> secrets;
    std::vector<NotScanned> not_scanned;
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;
};

/// Searches home directories, /etc, /root, /var/lib, /var/spool, /opt, /srv and /usr/local for
/// secrets. Skipped are container images (containerd, Docker, podman, snaps), package databases,
/// other file systems and `keep`. Files are read in overlapping pieces, so memory is bounded.
/// Compressed or encoded files (archives, keystores) are not unpacked and do not count. Limits that
/// are reached are findings (`not_scanned`), as are files that cannot be read and other file
/// systems on a disk.
/// @throws Error cancelled only.
SecretScan scan_for_secrets(const machine::Root& root, const machine::Patterns& keep,
                            const ScanLimits& limits, const std::stop_token& stop);

}  // namespace prebake::identity::secrets
