#pragma once

#include <filesystem>

namespace prebake::cli {

/// A recording that was killed has left the disks without read-ahead: puts it back, and logs what
/// it did, or why it could not. Cheap if there is nothing to do.
void restore_what_recordings_left(const std::filesystem::path& runtime_dir);

}  // namespace prebake::cli
