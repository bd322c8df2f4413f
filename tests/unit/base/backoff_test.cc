#include "agent/base/backoff.h"

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using prebake::Backoff;

TEST_CASE("each delay is twice the one before, up to the limit, until a success") {
    Backoff backoff(30s, 100s);
    for (const auto expected : {30s, 60s, 100s, 100s}) CHECK(backoff.next() == expected);
    backoff.reset();
    CHECK(backoff.next() == 30s);
}
