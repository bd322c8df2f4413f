#include "agent/base/file_source.h"

#include <unistd.h>

#include <cerrno>

#include "agent/base/error.h"

namespace prebake {

std::size_t read_at(int fd, std::span<std::byte> buffer, std::uint64_t offset,
                    const std::filesystem::path& name) {
    std::size_t filled = 0;
    while (filled < buffer.size()) {
        const ssize_t got = ::pread(fd, buffer.data() + filled, buffer.size() - filled,
                                    static_cast<off_t>(offset + filled));
        if (got == 0) break;
        if (got > 0) {
            filled += static_cast<std::size_t>(got);
        } else if (errno != EINTR) {
            throw errno_error("cannot read", name);
        }
    }
    return filled;
}

std::size_t FileSource::read(std::span<std::byte> buffer) {
    const std::size_t got = read_at(file_.get(), buffer, position_, name_);
    position_ += got;
    return got;
}

}  // namespace prebake
