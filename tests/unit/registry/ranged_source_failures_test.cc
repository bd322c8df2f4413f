#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <limits>
#include <random>
#include <thread>

#include "agent/registry/ranged_source.h"
#include "tests/unit/registry/ranged_fixture.h"

/// What additional requests may meet.
namespace prebake::registry::ranged_source_test {

using Change = std::function<void(RangeServer::Answer&)>;
struct Trap {
    std::string name;
    Change change;
    bool ends_ranges = true;  ///< or makes them fewer
};

std::vector<Trap> traps() {
    const auto header = [](std::string name, std::string value) {
        return [=](RangeServer::Answer& answer) { http::set_header(answer.headers, name, value); };
    };
    std::vector<Trap> rows = {
        {"the whole blob, 200", [](auto& answer) { answer = {.body = blob()}; }},
        {"the part, but 200", [](auto& answer) { answer.status = 200; }},
        {"206 with the whole blob", [](auto& answer) { answer.body = blob(); }},
        {"206 without Content-Range", [](auto& answer) { answer.headers.clear(); }},
        {"a later range", header("Content-Range", "bytes 23000000-24000000/25178169")},
        {"from the start", header("Content-Range", "bytes 0-2097151/25178169")},
        {"another total",
         [](auto& answer) {
             std::string& range = answer.headers.front().second;
             range.resize(range.find('/') + 1);
             range += "25178170";
         }},
        {"compressed", header("Content-Encoding", "gzip")},
        {"another version", header("ETag", "\"2\"")},
        {"redirected without end",
         [](auto& answer) {
             answer = {.status = 307, .headers = {{"Location", kUrl}}};
         }},
        {"it breaks at once", [](auto& answer) { answer.breaks_after = 0; }, false},
        {"it breaks in the middle", [](auto& answer) { answer.breaks_after = kMebi + 5; }, false},
        {"it ends early", [](auto& answer) { answer.body = answer.body.substr(0, kMebi + 5); },
         false},
        {"it is empty", [](auto& answer) { answer.body = {}; }, false},
        {"no connection",
         [](auto& answer) { answer.refuses = Error(Errc::unavailable, "refused"); }, false},
        {"a stall",
         [](auto& answer) { answer.refuses = Error(Errc::timed_out, "nothing for 60 s"); }, false},
    };
    for (const int status : {204, 400, 401, 403, 404, 416, 501}) {
        rows.push_back(
            {std::to_string(status), [=](auto& answer) { answer = {.status = status}; }});
    }
    for (const int status : {429, 500, 502, 503}) {
        rows.push_back(
            {std::to_string(status), [=](auto& answer) { answer = {.status = status}; }, false});
    }
    return rows;
}

TEST_CASE("whatever the answer to an additional request is, the blob is whole") {
    for (const Trap& trap : traps()) {
        // From which additional request on.
        for (const std::size_t first : {0U, 1U, 2U, 4U}) {
            CAPTURE(trap.name);
            CAPTURE(first);
            Fixture fixture;
            fixture.server->on_rest = [](auto& answer, const auto&, std::size_t) {
                answer.headers.emplace_back("ETag", "\"1\"");
            };
            fixture.server->on_part = [&](auto& answer, const auto&, std::size_t before) {
                if (before >= first) trap.change(answer);
            };
            require_blob(read_rest(*fixture.open()));
            if (trap.ends_ranges) CHECK(fixture.told.empty());
            // The first request shows what the server does.
            if (first == 0 && trap.ends_ranges) {
                CHECK(fixture.server->rests().size() == 1);
                CHECK(fixture.server->parts().size() <= (trap.name.starts_with("redir") ? 11 : 1));
            }
            CHECK(fixture.server->most_open() <= 4);
            CHECK(fixture.free_slots() == 4);
        }
    }
}

TEST_CASE("a part that breaks is resumed from where it broke") {
    Fixture fixture;
    std::vector<std::unique_lock<Slots>> others;
    for (int i = 0; i < 2; ++i) others.emplace_back(fixture.connections.slots());
    fixture.server->rest_waits_for = 2;
    fixture.server->on_part = [](auto& answer, const auto&, std::size_t before) {
        if (before == 0) answer.breaks_after = kMebi + 5;
    };
    require_blob(read_rest(*fixture.open()));
    const auto parts = fixture.server->parts();
    const std::uint64_t begin = std::stoull(parts[0].range.substr(6));
    const std::string rest = "bytes=" + std::to_string(begin + kMebi + 5) + "-" +
                             parts[0].range.substr(parts[0].range.find('-') + 1);
    CHECK(parts[1].range == rest);
    CHECK(fixture.server->rests().size() == 1);
    CHECK(fixture.told.empty());
}

TEST_CASE("a server that is busy gets no more requests until the time that it asks for") {
    Fixture fixture;
    fixture.with.pause = 1h;  // no connection is added again
    fixture.server->rest_waits_for = std::numeric_limits<std::size_t>::max();
    fixture.server->on_part = [&](auto& answer, const auto&, std::size_t before) {
        if (before == 2) {
            answer = {.status = 429, .headers = {{"Retry-After", "1"}}};
            return;
        }
        // Those before it are on their way meanwhile.
        answer.at = [&](std::size_t position) {
            fixture.server->wait_until([&] { return fixture.is_told(); });
            if (position >= kMebi) fixture.server->let_rest_go();
        };
    };
    require_blob(read_rest(*fixture.open()));
    REQUIRE(fixture.told.size() == 1);
    CHECK(contains(fixture.told[0], "reg.example/a: the registry answers 429 Too Many Requests"));
    CHECK(contains(fixture.told[0], "; continuing with fewer connections"));
    REQUIRE(fixture.server->parts().size() == 3);
    REQUIRE(fixture.server->rests().size() >= 2);
    CHECK(fixture.server->rests()[1].at - fixture.server->parts()[2].at >= 1s);
}

TEST_CASE("a server that serves two parts at a time is not asked for a third one again") {
    Fixture fixture;
    fixture.with.pause = 0ms;
    fixture.with.piece_bytes = 6 * kMebi;
    fixture.server->rest_waits_for = std::numeric_limits<std::size_t>::max();
    std::atomic<bool> is_checked = false;
    fixture.server->on_part = [&](auto& answer, const auto&, std::size_t before) {
        if (before == 2) answer = {.status = 503};
        if (before >= 2) return;
        answer.at = [&](std::size_t) {
            fixture.server->wait_until([&] { return fixture.is_told(); });
            fixture.server->let_rest_go();
            fixture.server->wait_until([&] { return is_checked.load(); });
        };
    };
    const auto source = fixture.open();
    std::string text;
    std::string buffer(kMebi, '\0');
    // Each read looks for connections to add. The first part begins behind all of them.
    for (int i = 0; i < 6; ++i) {
        source->read(std::as_writable_bytes(std::span(buffer)));
        text += buffer;
    }
    CHECK(fixture.server->parts().size() == 3);
    is_checked = true;
    require_blob(text + read_rest(*source));
}

TEST_CASE("a server that asks for a longer time than anybody waits gets no additional requests") {
    Fixture fixture;
    fixture.server->rest_waits_for = std::numeric_limits<std::size_t>::max();
    fixture.server->on_part = [&](auto& answer, const auto&, std::size_t before) {
        if (before > 0) {
            answer = {.status = 503, .headers = {{"Retry-After", "9999"}}};
            return;
        }
        answer.at = [&](std::size_t position) {
            if (position >= kMebi) fixture.server->let_rest_go();
        };
    };
    require_blob(read_rest(*fixture.open()));
    CHECK(fixture.server->parts().size() <= 4);  // one of each connection
    CHECK(fixture.server->rests().size() == 2);
}

TEST_CASE("the error of a blob is that of its first connection, and nothing follows a gap") {
    Fixture fixture;
    fixture.server->on_rest = [](auto& answer, const auto&, std::size_t before) {
        if (before > 0) answer = {.status = 503};
    };
    fixture.server->on_part = [](auto& answer, const auto&, std::size_t before) {
        if (before >= 3) answer = {.status = 404};
    };
    const auto source = fixture.open();
    std::string text;
    const Error error = error_of([&] {
        std::string buffer(kMebi, '\0');
        for (;;) {
            const std::size_t got = source->read(std::as_writable_bytes(std::span(buffer)));
            text.append(buffer, 0, got);
            if (got < buffer.size()) return;
        }
    });
    CHECK(error.code() == Errc::unavailable);
    CHECK(contains(error.message(), "cannot fetch blob " + kDigest.short_form()));
    CHECK(contains(error.message(), "503 Service Unavailable (3 attempts)"));
    CHECK(text.size() < blob().size());
    CHECK(std::string_view(blob()).starts_with(text));
}

TEST_CASE("a gap is filled although all memory is in use for what follows it") {
    Fixture fixture;
    fixture.with.pause = 1h;  // by those that are there
    fixture.with.piece_bytes = 3 * kMebi;
    fixture.server->rest_waits_for = std::numeric_limits<std::size_t>::max();
    BlobConnections small(4, 3 * kMebi);
    std::atomic<std::size_t> delivered = 0;
    std::atomic<std::uint64_t> first = 0;
    std::atomic<int> refused = 0;
    std::atomic<bool> has_first_block = false;
    fixture.server->on_part = [&](auto& answer, const auto& request, std::size_t before) {
        const auto range = http::find_header(request.headers, "Range").value_or("");
        const std::uint64_t begin = std::stoull(range.substr(6));
        if (before == 0) {
            first = begin;
            answer.breaks_after = kMebi;
            answer.at = [&](std::size_t position) {
                if (position < kMebi) return;
                has_first_block = true;
                fixture.server->wait_until(
                    [&] { return fixture.server->bytes_of_parts() >= 2 * kMebi; });
                fixture.server->let_rest_go();
                fixture.server->wait_until([&] { return delivered > first; });
            };
            return;
        }
        fixture.server->wait_until([&] { return has_first_block.load(); });
        if (begin == first + kMebi && refused++ == 0) answer = {.status = 503};
    };
    const auto source = fixture.open(small);
    std::string text;
    std::string buffer(kMebi / 2, '\0');
    while (const std::size_t got = source->read(std::as_writable_bytes(std::span(buffer)))) {
        text.append(buffer, 0, got);
        delivered = text.size();
    }
    require_blob(text);
    CHECK(refused >= 1);
    CHECK(fixture.server->rests().size() == 1);
}

/// A server that does anything, and downloads that come and go.
TEST_CASE("random failures") {
    const std::vector<Trap> all = traps();
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        Fixture fixture;
        fixture.attempts = 1000;
        std::mutex mutex;
        std::mt19937_64 random(seed);
        const auto chance = [&](std::uint64_t of) {
            const std::scoped_lock lock(mutex);
            return random() % of;
        };
        const std::uint64_t rarely = 2 + seed % 12;
        fixture.server->rest_waits_after = kMebi * (6 + seed % 3);
        fixture.server->rest_waits_for = seed % 2;
        fixture.server->on_rest = [&](auto& answer, const auto&, std::size_t) {
            if (chance(3) == 0) answer.breaks_after = chance(4 * kMebi);
        };
        fixture.server->on_part = [&](auto& answer, const auto&, std::size_t) {
            if (chance(rarely) != 0) return;
            // Those that end ranges for good show little.
            const Trap& trap = all[chance(all.size())];
            if (!trap.ends_ranges || chance(6) == 0) trap.change(answer);
        };
        const auto source = fixture.open();
        std::atomic<bool> is_done = false;
        std::jthread others([&] {
            while (!is_done) {
                const std::unique_lock taken(fixture.connections.slots());
                std::this_thread::sleep_for(std::chrono::microseconds(chance(2000)));
            }
        });
        const std::size_t piece = 1 + chance(3 * kMebi);
        require_blob(read_rest(*source, piece));
        is_done = true;
        CHECK(fixture.server->most_open() <= 4);
    }
}

}  // namespace prebake::registry::ranged_source_test
