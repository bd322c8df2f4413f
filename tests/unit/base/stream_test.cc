#include "agent/base/stream.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/unit/base/bytes_source.h"

namespace prebake {
namespace {

using prebake::tests::BytesSource;

TEST_CASE("a source is read up to a limit") {
    const auto read = [](std::size_t size, std::size_t limit) {
        BytesSource source(std::string(size, 'x'));
        const auto text = read_up_to(source, limit);
        return text ? static_cast<int>(text->size()) : -1;
    };
    CHECK(read(0, 0) == 0);
    CHECK(read(1, 0) == -1);
    CHECK(read(100'000, 100'000) == 100'000);
    CHECK(read(100'001, 100'000) == -1);
}

}  // namespace
}  // namespace prebake
