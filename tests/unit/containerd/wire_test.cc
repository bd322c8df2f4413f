#include "agent/containerd/wire.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

#include "agent/containerd/content.h"
#include "tests/unit/base/thrown.h"

namespace prebake::containerd {
namespace {

using std::chrono::system_clock;
using tests::thrown_by;

system_clock::time_point time_of(std::int64_t seconds, std::int32_t nanoseconds) {
    google::protobuf::Timestamp wire;
    wire.set_seconds(seconds);
    wire.set_nanos(nanoseconds);
    return time_from(wire);
}

TEST_CASE("time stamps out of range become the nearest time") {
    CHECK(time_of(0, 0) == system_clock::time_point());
    CHECK(time_of(1, 500) == system_clock::time_point(std::chrono::nanoseconds(1'000'000'500)));
    CHECK(time_of(1, -1) == time_of(1, 0));
    CHECK(time_of(1, std::numeric_limits<std::int32_t>::max()) == time_of(1, 999'999'999));
    const auto latest = time_of(std::numeric_limits<std::int64_t>::max(), 0);
    const auto earliest = time_of(std::numeric_limits<std::int64_t>::min(), 0);
    CHECK(latest > system_clock::from_time_t(9'000'000'000));
    CHECK(earliest < system_clock::from_time_t(-9'000'000'000));
}

TEST_CASE("digests of containerd") {
    const oci::Digest digest = oci::Digest::of("x");
    CHECK(digest_from(digest.str()) == digest);
    CHECK(thrown_by([] { digest_from("sha512:" + std::string(128, 'a')); }).code() ==
          Errc::unsupported);
    CHECK(thrown_by([] { digest_from(""); }).code() == Errc::corrupt);
    CHECK(thrown_by([] { digest_from("sha256:1"); }).code() == Errc::corrupt);
}

TEST_CASE("a descriptor survives the wire except its annotations") {
    const oci::Descriptor descriptor{.media_type = "a/b",
                                     .digest = oci::Digest::of("x"),
                                     .size = 1,
                                     .annotations = {{"a", "b"}},
                                     .platform = {}};
    ::containerd::types::Descriptor wire;
    descriptor_to(descriptor, wire);
    CHECK(wire.annotations().empty());
    oci::Descriptor expected = descriptor;
    expected.annotations.clear();
    CHECK(descriptor_from(wire) == expected);
}

}  // namespace
}  // namespace prebake::containerd
