#include "agent/bake/outlast.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"

namespace prebake::bake {
namespace {

TEST_CASE("calls to containerd are repeated after a restart") {
    const Errc gone = Errc::unavailable;
    struct Row {
        const char* name;
        std::vector<std::optional<Errc>> work;  ///< how each run of the work ends; then well
        std::vector<std::optional<Errc>> ask;   ///< how each question ends; then with an answer
        std::size_t runs;
        std::size_t asked;
        std::size_t notices;
        std::optional<Errc> result;
    };
    const std::vector<Row> rows{
        {"no restart", {}, {}, 1, 0, 0, {}},
        {"one restart", {gone}, {}, 2, 1, 1, {}},
        {"it takes a moment to return", {gone}, {gone, Errc::timed_out}, 2, 3, 1, {}},
        {"two restarts", {gone, gone}, {}, 3, 2, 2, {}},
        {"restarts without end", std::vector<std::optional<Errc>>(100, gone), {}, 6, 5, 5, gone},
        {"another error", {Errc::corrupt}, {}, 1, 0, 0, Errc::corrupt},
        {"another error after a restart", {gone, Errc::corrupt}, {}, 2, 1, 1, Errc::corrupt},
        {"a stop request while it is away", {gone}, {Errc::cancelled}, 1, 1, 1, Errc::cancelled},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        std::size_t runs = 0;
        std::size_t asked = 0;
        std::size_t notices = 0;
        const auto next = [](const std::vector<std::optional<Errc>>& ends, std::size_t& count) {
            const std::size_t i = count++;
            if (i < ends.size() && ends[i]) throw Error(*ends[i], "failed");
        };
        std::optional<Errc> result;
        try {
            outlast_restart([&] { next(row.ask, asked); }, {}, [&] { ++notices; },
                            [&] { next(row.work, runs); });
        } catch (const Error& error) {
            result = error.code();
        }
        CHECK(runs == row.runs);
        CHECK(asked == row.asked);
        CHECK(notices == row.notices);
        CHECK(result == row.result);
    }
}

TEST_CASE("a stop request ends the waiting for containerd") {
    std::stop_source stop;
    const auto ask = [&] {
        stop.request_stop();
        throw Error(Errc::unavailable, "containerd is gone");
    };
    CHECK_THROWS_AS(outlast_restart(
                        ask, stop.get_token(), [] {},
                        [] { throw Error(Errc::unavailable, "containerd is gone"); }),
                    Error);
    CHECK(stop.stop_requested());
}

}  // namespace
}  // namespace prebake::bake
