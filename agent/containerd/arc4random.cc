// std::random_device of a static libstdc++, which gRPC uses, calls arc4random(), because the
// libstdc++ was compiled with glibc 2.36. We support glibc 2.34, so static builds define it.

#include <sys/random.h>

#include <cstdint>

// Declared here because <stdlib.h> has it only from glibc 2.36 on.
extern "C" std::uint32_t arc4random() noexcept;

extern "C" std::uint32_t arc4random() noexcept {
    std::uint32_t number = 0;
    while (::getrandom(&number, sizeof number, 0) != sizeof number) {
    }
    return number;
}
