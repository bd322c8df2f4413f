// The std::random_device of a static libstdc++, which gRPC pulls in, calls arc4random() because the
// glibc that it was compiled with has it (2.36). We promise to run on 2.34, so static builds bring
// their own.

#include <sys/random.h>

#include <cstdint>

// Declared here and not by <stdlib.h>, which knows it only from glibc 2.36 on.
extern "C" std::uint32_t arc4random() noexcept;

extern "C" std::uint32_t arc4random() noexcept {
    std::uint32_t number = 0;
    while (::getrandom(&number, sizeof number, 0) != sizeof number) {
    }
    return number;
}
