#include "agent/registry/ranged_source.h"

#include <doctest/doctest.h>

#include <future>
#include <limits>
#include <set>

#include "tests/unit/http/error_of.h"
#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/range_server.h"

namespace prebake::registry::ranged_source_test {

using namespace std::chrono_literals;
using range_server::kMebi;
using range_server::RangeServer;
using tests::contains;
using tests::error_of;

const oci::Reference kRepository = oci::Reference::parse("reg.example/a:1");
const oci::Digest kDigest = oci::Digest::of("the blob");
const std::string kUrl = "https://reg.example/v2/a/blobs/" + kDigest.str();
const std::string kCdn = "https://cdn.example/b?sig=";

const std::string& blob() {
    static const std::string kBlob = range_server::noise(24 * kMebi + 12'345);
    return kBlob;
}

/// Every connection counts as slow.
RangeRules rules() {
    return {.piece_bytes = 2 * kMebi,
            .least_bytes = 8 * kMebi,
            .sample_bytes = kMebi,
            .enough_bytes_per_second = std::numeric_limits<std::uint64_t>::max(),
            .pause = 1ms};
}

struct Fixture {
    std::shared_ptr<RangeServer> server = std::make_shared<RangeServer>(blob());
    BlobConnections connections{4, 8 * kMebi};
    RangeRules with = rules();
    std::stop_source stop;
    std::mutex mutex;
    std::vector<std::string> told;
    int attempts = 3;

    /// The first connection brings 3 MiB, and more when parts were asked for.
    Fixture() {
        server->rest_waits_after = 3 * kMebi;
        server->rest_waits_for = 1;
    }

    std::unique_ptr<RangedSource> open(std::uint64_t offset = 0) {
        return open(connections, offset);
    }
    std::unique_ptr<RangedSource> open(BlobConnections& of, std::uint64_t offset = 0) {
        const RetryOptions options{
            .retry = {.attempts = attempts, .first_delay = 1ms, .max_delay = 1ms},
            .on_retry = [this](const std::string& line) {
                const std::scoped_lock lock(mutex);
                told.push_back(line);
            }};
        return std::make_unique<RangedSource>(
            std::make_shared<RequestSender>(server, FixedCredentials::none()),
            std::make_shared<const RetryOptions>(options), kRepository,
            oci::Descriptor{.media_type = "x",
                            .digest = kDigest,
                            .size = blob().size(),
                            .annotations = {},
                            .platform = {}},
            offset, of, stop.get_token(), with);
    }

    std::size_t free_slots() {
        std::vector<std::unique_lock<Slots>> taken;
        while (taken.emplace_back(connections.slots(), std::try_to_lock).owns_lock()) {
        }
        return taken.size() - 1;
    }
};

std::string read_rest(Source& source, std::size_t piece = kMebi) {
    std::string text;
    std::string buffer(piece, '\0');
    for (;;) {
        const std::size_t got = source.read(std::as_writable_bytes(std::span(buffer)));
        text.append(buffer, 0, got);
        if (got < piece) return text;
    }
}

/// Not by CHECK(a == b), which would print both.
void require_blob(const std::string& text, std::uint64_t offset = 0) {
    const auto expected = std::string_view(blob()).substr(offset);
    CHECK(text.size() == expected.size());
    CHECK((text == expected));
}

TEST_CASE("a large blob that comes slowly is fetched over the idle connections, too") {
    for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{12'345}}) {
        for (const std::size_t piece : {std::size_t{kMebi}, std::size_t{300'000}}) {
            Fixture fixture;
            const auto source = fixture.open(offset);
            require_blob(read_rest(*source, piece), offset);
            CHECK(fixture.server->rests().size() == 1);
            CHECK(fixture.server->parts().size() >= 5);
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
    const auto is_told = [&] {
        const std::scoped_lock lock(fixture.mutex);
        return !fixture.told.empty();
    };
    fixture.server->on_part = [&](auto& answer, const auto&, std::size_t before) {
        if (before == 2) {
            answer = {.status = 429, .headers = {{"Retry-After", "1"}}};
            return;
        }
        // Those before it are on their way meanwhile.
        answer.at = [&](std::size_t position) {
            fixture.server->wait_until(is_told);
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

TEST_CASE("a server that serves two parts at a time is not asked for more all the time") {
    // Often, because it depends on which request is the third.
    for (int round = 0; round < 20; ++round) {
        Fixture fixture;
        fixture.with.pause = 0ms;
        std::atomic<int> refused = 0;
        fixture.server->rest_waits_for = 2;
        fixture.server->on_part = [&](auto& answer, const auto&, std::size_t) {
            if (fixture.server->open_parts() < 2) return;
            answer = {.status = 503};
            ++refused;
        };
        require_blob(read_rest(*fixture.open()));
        CHECK(refused <= 2);
    }
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
    std::string text(3 * kMebi, '\0');
    source->read(std::as_writable_bytes(std::span(text)));
    // Nobody reads: the parts fill the memory, and wait.
    fixture.server->wait_until([&] { return fixture.server->bytes_of_parts() >= 6 * kMebi; });
    std::string buffer(kMebi, '\0');
    std::uint64_t most = 0;
    for (;;) {
        const std::size_t got = source->read(std::as_writable_bytes(std::span(buffer)));
        text.append(buffer, 0, got);
        // Of the first connection are at least 3 MiB.
        const std::uint64_t ahead =
            fixture.server->bytes_of_parts() -
            std::min(fixture.server->bytes_of_parts(), text.size() - 3 * kMebi);
        most = std::max(most, ahead);
        if (got < buffer.size()) break;
    }
    require_blob(text);
    // It waits for 2 MiB of the first connection more, which count as read parts.
    CHECK(most <= fixture.connections.memory() + 4 * kMebi);
}

TEST_CASE("a stop request ends all requests at once") {
    Fixture fixture;
    fixture.server->rest_waits_for = std::numeric_limits<std::size_t>::max();
    fixture.server->on_part = [](auto& answer, const auto&, std::size_t) {
        answer.hangs = true;
        answer.breaks_after = 0;
    };
    auto source = fixture.open();
    std::string text(3 * kMebi, '\0');
    source->read(std::as_writable_bytes(std::span(text)));
    fixture.server->wait_until([&] { return fixture.server->hanging() >= 1; });
    const auto begin = std::chrono::steady_clock::now();
    fixture.stop.request_stop();
    CHECK(error_of([&] { read_rest(*source); }).code() == Errc::cancelled);
    source.reset();
    CHECK(std::chrono::steady_clock::now() - begin < 20s);
    CHECK(fixture.free_slots() == 4);
}

TEST_CASE("a source that is not read to its end ends its requests") {
    Fixture fixture;
    fixture.server->rest_waits_for = std::numeric_limits<std::size_t>::max();
    fixture.server->on_part = [](auto& answer, const auto&, std::size_t) {
        answer.hangs = true;
        answer.breaks_after = 0;
    };
    auto source = fixture.open();
    std::string text(3 * kMebi, '\0');
    source->read(std::as_writable_bytes(std::span(text)));
    fixture.server->wait_until([&] { return fixture.server->hanging() >= 1; });
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

TEST_CASE("a gap is filled although all memory is in use for what follows it") {
    Fixture fixture;
    fixture.with.pause = 1h;  // by those that are there
    fixture.with.piece_bytes = 3 * kMebi;
    fixture.server->rest_waits_for = std::numeric_limits<std::size_t>::max();
    BlobConnections small(4, 3 * kMebi);
    std::atomic<std::size_t> delivered = 0;
    std::atomic<std::uint64_t> first = 0;
    std::atomic<int> refused = 0;
    fixture.server->on_part = [&](auto& answer, const auto& request, std::size_t before) {
        const auto range = http::find_header(request.headers, "Range").value_or("");
        const std::uint64_t begin = std::stoull(range.substr(6));
        if (before == 0) {
            first = begin;
            answer.breaks_after = kMebi;
            answer.at = [&](std::size_t position) {
                if (position < kMebi) return;
                fixture.server->wait_until(
                    [&] { return fixture.server->bytes_of_parts() >= 2 * kMebi; });
                fixture.server->let_rest_go();
                fixture.server->wait_until([&] { return delivered > first; });
            };
        } else if (begin == first + kMebi && refused++ == 0) {
            answer = {.status = 503};
        }
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
