// Reads parts of a file by page faults, as a program reads its code and a server its model. Then it
// prints "ready".
//
//   touch_pages FILE PARTS BYTES in-order|scattered
//
// FILE may be /proc/self/exe. The PARTS, of BYTES each, are distributed over the whole file, and
// are the same for each call. It touches all pages of a part, in order.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr std::uint64_t kPage = 4096;
/// Larger than any number of parts, and prime: multiples of it visit every part once.
constexpr std::uint64_t kStep = 7919;

/// Pseudo-random, the same each time (splitmix64).
std::uint64_t scrambled(std::uint64_t value) {
    value += 0x9e3779b97f4a7c15ULL;
    value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ (value >> 27U)) * 0x94d049bb133111ebULL;
    return value ^ (value >> 31U);
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) {
        std::fputs("usage: touch_pages FILE PARTS BYTES in-order|scattered\n", stderr);
        return 2;
    }
    const std::uint64_t parts = std::strtoull(arguments[2], nullptr, 10);
    const std::uint64_t bytes = std::strtoull(arguments[3], nullptr, 10);
    const bool scattered = std::strcmp(arguments[4], "scattered") == 0;
    const int fd = ::open(arguments[1], O_RDONLY | O_CLOEXEC);
    struct stat about {};
    if (fd < 0 || ::fstat(fd, &about) != 0) {
        std::perror(arguments[1]);
        return 1;
    }
    const auto size = static_cast<std::uint64_t>(about.st_size);
    if (parts == 0 || parts >= kStep || size / parts < bytes) {
        std::fputs("touch_pages: the file is too small for the parts\n", stderr);
        return 1;
    }
    void* memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        std::perror("mmap");
        return 1;
    }
    const auto* data = static_cast<const volatile unsigned char*>(memory);
    const std::uint64_t stride = size / parts;
    unsigned sum = 0;
    for (std::uint64_t i = 0; i < parts; ++i) {
        const std::uint64_t part = scattered ? i * kStep % parts : i;
        const std::uint64_t begin = part * stride + scrambled(part) % (stride - bytes + 1);
        for (std::uint64_t at = begin; at < begin + bytes; at += kPage) sum += data[at];
    }
    std::printf("ready %u\n", sum);
    std::fflush(stdout);
    const char* linger = std::getenv("LINGER");
    if (linger != nullptr) ::sleep(static_cast<unsigned>(std::strtoul(linger, nullptr, 10)));
    return 0;
}
