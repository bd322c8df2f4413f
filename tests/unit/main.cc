#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

// ThreadSanitizer asks this function of the program, by this name, what not to report.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" const char* __tsan_default_suppressions();
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" const char* __tsan_default_suppressions() {
    // An exception that crosses threads in a future is freed by whichever drops it last.
    // libstdc++.so counts its holders atomically, but was built without the sanitizer, which so
    // sees the free alone.
    return "race:std::__future_base::_Result<*>::_M_destroy\n";
}
