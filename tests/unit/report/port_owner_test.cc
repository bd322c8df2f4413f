#include "agent/report/port_owner.h"

#include <doctest/doctest.h>

#include <sstream>

namespace prebake::report {
namespace {

// Port 9813 is 2655 in hexadecimal.
constexpr const char* kTable =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout\n"
    "   0: 0100007F:2656 00000000:0000 0A 00000000:00000000 00:00000000 00000000     1        0 1\n"
    "   1: 0100000A:2655 00000000:0000 0A 00000000:00000000 00:00000000 00000000     2        0 1\n"
    "   2: 0100007F:2655 0100007F:8000 01 00000000:00000000 00:00000000 00000000     3        0 1\n"
    "   3: half a row\n"
    "   4: 0100007F:2655 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 "
    "1\n";

TEST_CASE("the owner of a port is who listens on this address, not on another one") {
    struct Row {
        const char* name;
        std::vector<std::string> locals;
        std::uint16_t port;
        std::optional<uid_t> owner;
    };
    const Row rows[] = {
        {"loopback", {"0100007F", "00000000"}, 9813, 1000},
        {"another port", {"0100007F"}, 9814, 1},
        {"another address", {"0100000A"}, 9813, 2},
        {"nobody", {"00000000"}, 9813, {}},
        {"a connection is no listener", {"0100007F"}, 32768, {}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        std::istringstream table(kTable);
        CHECK(owner_in_table(table, row.locals, row.port) == row.owner);
    }
}

}  // namespace
}  // namespace prebake::report
