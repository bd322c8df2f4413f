#include "agent/registry/ranged_source.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <limits>
#include <map>
#include <set>

#include "tests/unit/registry/ranged_fixture.h"

namespace prebake::registry::ranged_source_test {

TEST_CASE("a large blob that comes slowly is fetched over the idle connections, too") {
    for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{12'345}}) {
        for (const std::size_t piece : {std::size_t{kMebi}, std::size_t{300'000}}) {
            Fixture fixture;
            fixture.server->rest_waits_for = 3;  // each idle connection
            const auto source = fixture.open(offset);
            require_blob(read_rest(*source, piece), offset);
            CHECK(fixture.server->rests().size() == 1);
            CHECK(fixture.server->parts().size() >= 3);
            CHECK(fixture.server->most_open() <= 4);
            CHECK(fixture.free_slots() == 4);  // not only when the source is gone
            std::set<std::string> ranges;
            for (const auto& asked : fixture.server->parts()) ranges.insert(asked.range);
            CHECK(ranges.size() == fixture.server->parts().size());
        }
    }
}

TEST_CASE("all connections are used, and no more") {
    Fixture fixture;
    fixture.server->rest_waits_for = std::numeric_limits<std::size_t>::max();
    fixture.server->on_part = [](auto& answer, const auto&, std::size_t) {
        answer.hangs = true;
        answer.breaks_after = 0;
    };
    const auto source = fixture.open();
    auto all = std::async(std::launch::async,
                          [&] { return error_of([&] { read_rest(*source); }).code(); });
    fixture.server->wait_until([&] { return fixture.server->hanging() == 3; });
    CHECK(fixture.server->most_open() == 4);
    CHECK(fixture.free_slots() == 0);
    fixture.stop.request_stop();
    CHECK(all.get() == Errc::cancelled);
}

TEST_CASE("a blob is left to one connection") {
    struct Row {
        const char* name;
        std::function<void(Fixture&)> prepare;
        std::uint64_t offset = 0;
    };
    for (const Row& row : {
             Row{"that is fast", [](Fixture& it) { it.with.enough_bytes_per_second = 1; }},
             Row{"if little is left", [](Fixture&) {}, 17 * kMebi},
             Row{"if there is no memory", [](Fixture& it) { it.with.piece_bytes = 9 * kMebi; }},
             Row{"of a server that says that it serves no ranges",
                 [](Fixture& it) {
                     it.server->on_rest = [](auto& answer, const auto&, std::size_t) {
                         answer.headers.emplace_back("Accept-Ranges", "none");
                     };
                 }},
         }) {
        CAPTURE(row.name);
        Fixture fixture;
        fixture.server->rest_waits_for = 0;
        row.prepare(fixture);
        require_blob(read_rest(*fixture.open(row.offset)), row.offset);
        CHECK(fixture.server->parts().empty());
        CHECK(fixture.server->rests().size() == 1);
    }
    Fixture fixture;
    fixture.server->rest_waits_for = 0;
    std::vector<std::unique_lock<Slots>> others;
    for (int i = 0; i < 3; ++i) others.emplace_back(fixture.connections.slots());
    require_blob(read_rest(*fixture.open()));
    CHECK(fixture.server->parts().empty());
}

TEST_CASE("a connection that another download waits for is given up before its part is complete") {
    Fixture fixture;
    fixture.with.piece_bytes = 8 * kMebi;
    fixture.server->rest_waits_for = std::numeric_limits<std::size_t>::max();
    Slots& slots = fixture.connections.slots();
    std::vector<std::unique_lock<Slots>> others;
    for (int i = 0; i < 2; ++i) others.emplace_back(slots);
    std::promise<std::uint64_t> bytes_when_taken;
    std::jthread other;
    fixture.server->on_part = [&](auto& answer, const auto&, std::size_t before) {
        if (before > 0) return;
        answer.at = [&](std::size_t position) {
            if (position != kMebi) return;
            other = std::jthread([&] {
                const std::unique_lock taken(slots);
                bytes_when_taken.set_value(fixture.server->bytes_of_parts());
                fixture.server->let_rest_go();
                fixture.server->wait_until([&] { return fixture.server->rests().size() == 2; });
            });
            fixture.server->wait_until([&] { return slots.is_wanted(); });
        };
    };
    require_blob(read_rest(*fixture.open()));
    CHECK(bytes_when_taken.get_future().get() == 2 * kMebi);
    CHECK(fixture.server->rests().size() == 2);  // the first connection went on alone
}

TEST_CASE("where the first connection goes on alone, others have got the idle ones") {
    Fixture fixture;
    std::optional<std::unique_lock<Slots>> first;
    std::promise<bool> has_slot;
    std::thread other;
    fixture.server->on_part = [&](auto&, const auto&, std::size_t before) {
        if (before != 2) return;
        // Three downloads begin: all idle connections are theirs from now on.
        other = std::thread([&] {
            std::vector<std::unique_lock<Slots>> taken;
            for (int i = 0; i < 3; ++i) taken.emplace_back(fixture.connections.slots());
            has_slot.set_value(true);
            fixture.server->wait_until([&] { return fixture.server->rests().size() == 2; });
        });
        fixture.server->wait_until([&] { return fixture.connections.slots().is_wanted(); });
    };
    const auto source = fixture.open();
    auto text = std::async(std::launch::async, [&] { return read_rest(*source); });
    require_blob(text.get());
    REQUIRE(other.joinable());
    other.join();
    CHECK(has_slot.get_future().get());
    // Then one request for the rest, not one for each part.
    REQUIRE(fixture.server->rests().size() >= 2);
    CHECK(fixture.server->rests()[1].range.ends_with("-"));
}

TEST_CASE("what arrives before its turn is bounded by the memory for it") {
    Fixture fixture;
    fixture.server->rest_waits_for = 3;
    const auto source = fixture.open();
    std::string text(2 * kMebi, '\0');
    source->read(std::as_writable_bytes(std::span(text)));
    // Nobody reads: the parts fill the memory, and wait.
    fixture.server->wait_until([&] { return fixture.server->bytes_of_parts() >= 6 * kMebi; });
    std::string buffer(kMebi, '\0');
    std::uint64_t most = 0;
    for (;;) {
        const std::size_t got = source->read(std::as_writable_bytes(std::span(buffer)));
        text.append(buffer, 0, got);
        // Of the first connection are at least 2 MiB.
        const std::uint64_t ahead =
            fixture.server->bytes_of_parts() -
            std::min(fixture.server->bytes_of_parts(), text.size() - 2 * kMebi);
        most = std::max(most, ahead);
        if (got < buffer.size()) break;
    }
    require_blob(text);
    // It waits for 2 MiB of the first connection more, which count as read parts.
    CHECK(most <= fixture.connections.memory() + 4 * kMebi);
}

TEST_CASE("a stop request ends all requests at once") {
    Fixture fixture;
    auto source = fixture.open_with_parts_that_hang();
    const auto begin = std::chrono::steady_clock::now();
    fixture.stop.request_stop();
    CHECK(error_of([&] { read_rest(*source); }).code() == Errc::cancelled);
    source.reset();
    CHECK(std::chrono::steady_clock::now() - begin < 20s);
    CHECK(fixture.free_slots() == 4);
}

TEST_CASE("a source that is not read to its end ends its requests") {
    Fixture fixture;
    auto source = fixture.open_with_parts_that_hang();
    source.reset();
    CHECK(fixture.free_slots() == 4);
}

TEST_CASE("a source that waits for a connection can be stopped") {
    Fixture fixture;
    std::vector<std::unique_lock<Slots>> others;
    for (int i = 0; i < 4; ++i) others.emplace_back(fixture.connections.slots());
    auto waiting =
        std::async(std::launch::async, [&] { return error_of([&] { fixture.open(); }).code(); });
    fixture.server->wait_until([&] { return fixture.connections.slots().is_wanted(); });
    fixture.stop.request_stop();
    CHECK(waiting.get() == Errc::cancelled);
    CHECK(fixture.server->rests().empty());
}

TEST_CASE("parts are asked for where the registry has redirected to, as long as that works") {
    struct Row {
        const char* name;
        std::size_t expires_after;  ///< requests for parts at one URL
        std::size_t most_redirects;
    };
    for (const Row& row : {Row{"it works", 1000, 1}, Row{"it expires", 4, 4},
                           Row{"it is signed for one request", 0, 1000}}) {
        CAPTURE(row.name);
        Fixture fixture;
        std::mutex mutex;
        std::map<std::string, std::size_t> uses;
        std::atomic<std::size_t> redirects = 0;
        std::atomic<std::size_t> expired = 0;
        const auto behave = [&](RangeServer::Answer& answer, const http::Request& request,
                                bool is_part) {
            if (request.url == kUrl) {
                answer = {.status = 307,
                          .headers = {{"Location", kCdn + std::to_string(++redirects)}}};
                return;
            }
            const std::scoped_lock lock(mutex);
            const bool is_first = !uses.contains(request.url);
            const std::size_t before = uses[request.url]++;
            if (is_part && !is_first && before > row.expires_after) {
                answer = {.status = 403};
                ++expired;
            }
        };
        fixture.server->on_rest = [&](auto& answer, const auto& request, std::size_t) {
            behave(answer, request, false);
        };
        fixture.server->on_part = [&](auto& answer, const auto& request, std::size_t) {
            behave(answer, request, true);
        };
        fixture.server->rest_waits_for = 2;
        require_blob(read_rest(*fixture.open()));
        CHECK(redirects <= row.most_redirects);
        CHECK(fixture.server->parts().size() >= 5);
        // One that works for one request only is not tried again.
        if (row.expires_after == 0) CHECK(expired <= 2);
        if (row.expires_after == 1000) CHECK(expired == 0);
    }
}

TEST_CASE("storage that is busy is no reason to ask the registry") {
    Fixture fixture;
    fixture.server->rest_waits_for = 3;
    std::atomic<int> redirects = 0;
    const auto redirect = [&](RangeServer::Answer& answer, const http::Request& request) {
        if (request.url != kUrl) return false;
        answer = {.status = 307, .headers = {{"Location", kCdn + std::to_string(++redirects)}}};
        return true;
    };
    fixture.server->on_rest = [&](auto& answer, const auto& request, std::size_t) {
        redirect(answer, request);
    };
    fixture.server->on_part = [&](auto& answer, const auto& request, std::size_t before) {
        if (!redirect(answer, request) && before == 1) answer = {.status = 503};
    };
    require_blob(read_rest(*fixture.open()));
    for (const auto& asked : fixture.server->parts()) CHECK(asked.url != kUrl);
}

}  // namespace prebake::registry::ranged_source_test
