#include "agent/cli/recording_leftovers.h"

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/cli/log.h"
#include "agent/hydrate/read_ahead.h"

namespace prebake::cli {

void restore_what_recordings_left(const std::filesystem::path& runtime_dir) {
    try {
        const std::vector<std::string> devices =
            hydrate::restore_read_ahead({.runtime = runtime_dir});
        for (const std::string& device : devices) {
            log_info("read-ahead of the disk " + device +
                     " is as before again: a recording was killed");
        }
    } catch (const Error& error) {
        // The unit's sandbox may not write there.
        log_warning("a recording was killed: " + error.message() +
                    "; prebake record repairs it when it is run again, and so does a reboot");
    }
}

}  // namespace prebake::cli
