#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <sys/stat.h>

// Trees of files get the modes of a machine's, whatever the umask of the person who runs the tests.
static const mode_t kFormerUmask [[maybe_unused]] = ::umask(022);

// ThreadSanitizer asks this function of the program, by this name, what not to report.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" const char* __tsan_default_suppressions();
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" const char* __tsan_default_suppressions() {
    // Debian's libraries are built without the sanitizer: it does not see how they synchronise.
    // An exception that crosses threads in a future is freed by whichever drops it last;
    // libstdc++.so counts its holders atomically. gRPC hands what a test's server and its client
    // exchange from thread to thread; our code runs below its frames only in these servers.
    return "race:std::__future_base::_Result<*>::_M_destroy\n"
           "race:libgrpc\n"
           "race:libgpr\n"
           "race:libupb\n"
           "race:libabsl\n"
           "race:libprotobuf\n";
}
