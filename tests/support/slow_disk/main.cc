// A disk that loads lazily, as a volume that was made from a snapshot does: its chunks of 512 KiB
// are slow until they were read once. It is the file `disk` of a FUSE file system, for a loop
// device. Only this program sees where it is mounted: others open /proc/PID/root/DIRECTORY/disk,
// and nothing is left when it ends.
//
//   slow_disk FILE DIRECTORY SOCKET [KEY=VALUE]...
//
// FILE has the bytes, DIRECTORY is an existing one, SOCKET takes commands (control.h). KEY=VALUE
// are settings (cold_model.h), and max_background, the number of requests that the kernel has in
// flight. The disk is warm at first.
//
// The loop device must have direct I/O. Otherwise it handles one request at a time.

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>

#include "tests/support/slow_disk/cold_model.h"
#include "tests/support/slow_disk/control.h"
#include "tests/support/slow_disk/disk_image.h"
#include "tests/support/slow_disk/served_file.h"

namespace {

constexpr unsigned kMaxBackground = 128;

void hide_mounts() {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        throw std::system_error(errno, std::generic_category(), "no mount namespace");
    }
    // The kernel must not write to our own disk to find memory for us. It needs CAP_SYS_RESOURCE,
    // and is not vital.
    ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

int run(int count, char** arguments) {
    slow_disk::Settings settings;
    unsigned max_background = kMaxBackground;
    for (int i = 4; i < count; ++i) {
        const std::string word = arguments[i];
        const std::size_t equals = word.find('=');
        if (equals == std::string::npos) throw std::invalid_argument("not KEY=VALUE: " + word);
        const std::string key = word.substr(0, equals);
        if (key == "max_background") {
            max_background = static_cast<unsigned>(std::stoul(word.substr(equals + 1)));
        } else {
            slow_disk::apply_setting(settings, key, word.substr(equals + 1));
        }
    }
    hide_mounts();
    slow_disk::DiskImage image(arguments[1]);
    slow_disk::ColdModel model(image.size(), settings);
    slow_disk::listen(arguments[3], image, model);
    slow_disk::ServedFile file(image, model);
    return slow_disk::serve(file, arguments[2], max_background);
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 4) {
        std::fputs("usage: slow_disk FILE DIRECTORY SOCKET [KEY=VALUE]...\n", stderr);
        return 2;
    }
    int status = 1;
    try {
        status = run(count, arguments);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "slow_disk: %s\n", e.what());
    }
    std::fflush(nullptr);
    ::_exit(status);  // the thread of the control socket uses what would be destroyed
}
