#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "agent/registry/ranged_source.h"
#include "tests/unit/http/error_of.h"
#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/range_server.h"
#include "tests/unit/registry/read_rest.h"

/// What the tests of RangedSource share.
namespace prebake::registry::ranged_source_test {

using namespace std::chrono_literals;
using range_server::kMebi;
using range_server::RangeServer;
using tests::contains;
using tests::error_of;

inline const oci::Reference kRepository = oci::Reference::parse("reg.example/a:1");
inline const oci::Digest kDigest = oci::Digest::of("the blob");
inline const std::string kUrl = "https://reg.example/v2/a/blobs/" + kDigest.str();
inline const std::string kCdn = "https://cdn.example/b?sig=";

inline const std::string& blob() {
    static const std::string kBlob = range_server::noise(24 * kMebi + 12'345);
    return kBlob;
}

/// Every connection counts as slow.
inline RangeRules rules() {
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

    /// The first connection brings 2 MiB, and more when parts were asked for. The first part begins
    /// after 3 MiB.
    Fixture() {
        server->rest_waits_after = 2 * kMebi;
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

    /// Every part hangs. Returns a source of which 2 MiB are read, while a part hangs.
    std::unique_ptr<RangedSource> open_with_parts_that_hang() {
        server->rest_waits_for = std::numeric_limits<std::size_t>::max();
        server->on_part = [](auto& answer, const auto&, std::size_t) {
            answer.hangs = true;
            answer.breaks_after = 0;
        };
        auto source = open();
        std::string text(2 * kMebi, '\0');
        source->read(std::as_writable_bytes(std::span(text)));
        server->wait_until([&] { return server->hanging() >= 1; });
        return source;
    }

    bool is_told() {
        const std::scoped_lock lock(mutex);
        return !told.empty();
    }

    std::size_t free_slots() {
        std::vector<std::unique_lock<Slots>> taken;
        while (taken.emplace_back(connections.slots(), std::try_to_lock).owns_lock()) {
        }
        return taken.size() - 1;
    }
};

inline std::string read_rest(Source& source, std::size_t piece = kMebi) {
    return tests::read_rest(source, piece);
}

/// Not by CHECK(a == b), which would print both.
inline void require_blob(const std::string& text, std::uint64_t offset = 0) {
    const auto expected = std::string_view(blob()).substr(offset);
    CHECK(text.size() == expected.size());
    CHECK((text == expected));
}

}  // namespace prebake::registry::ranged_source_test
