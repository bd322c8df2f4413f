#pragma once

#include <string>

#include "tests/support/slow_disk/cold_model.h"
#include "tests/support/slow_disk/disk_image.h"

namespace slow_disk {

/// Carries out one line of the control socket, and returns what is answered, in JSON:
///
///   set KEY=VALUE...   settings, see Settings
///   reset              everything is cold, and statistics begin at zero
///   warm               everything is warm
///   snapshot           what is on the disk now is what `discard` returns to
///   discard            forgets what was written since. Only while nothing has the disk mounted
///   statistics
///   touched            the chunks that were loaded, in order
std::string carry_out(const std::string& line, DiskImage& image, ColdModel& model);

/// Listens on a unix socket, in a thread of its own, until the program ends. One line and one
/// answer for each connection. @throws std::system_error
void listen(const std::string& path, DiskImage& image, ColdModel& model);

}  // namespace slow_disk
