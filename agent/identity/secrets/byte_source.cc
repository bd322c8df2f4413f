#include "agent/identity/secrets/byte_source.h"

#include <unistd.h>

#include <cerrno>

#include "agent/base/error.h"
#include "agent/base/file.h"

namespace prebake::identity::secrets {

std::size_t FileBytes::read(char* to, std::size_t size) {
    for (;;) {
        const ssize_t got = ::read(fd_, to, size);
        if (got >= 0) return static_cast<std::size_t>(got);
        if (errno != EINTR) throw errno_error("cannot read", name_);
    }
}

void FileBytes::rewind() {
    if (::lseek(fd_, 0, SEEK_SET) != 0) throw errno_error("cannot read", name_);
}

}  // namespace prebake::identity::secrets
