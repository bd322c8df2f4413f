#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "tests/system/containerd_client/daemon_under_test.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <stdexcept>

#include "agent/containerd/leases.h"

namespace prebake::test {
namespace {

std::string unique_namespace() {
    static int count = 0;
    return "prebake-test-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

}  // namespace

std::string socket_under_test() {
    const char* socket = std::getenv("PREBAKE_TEST_CONTAINERD_SOCKET");
    if (!socket || !*socket) {
        throw std::runtime_error(
            "PREBAKE_TEST_CONTAINERD_SOCKET does not name a containerd socket");
    }
    return socket;
}

TestNamespace::TestNamespace(const std::string& socket)
    : socket_(socket),
      connection_(socket, stop_.get_token()),
      scope_{.ns = unique_namespace(), .lease = "test"} {
    containerd::Leases(connection_, scope_.ns).create(scope_.lease, std::chrono::hours(1), {});
}

TestNamespace::~TestNamespace() {
    try {
        // On a separate connection: the test may have stopped the other one.
        const containerd::Connection connection(socket_, {});
        containerd::Leases(connection, scope_.ns).remove(scope_.lease);
    } catch (const Error&) {
        // The test may also have stopped the daemon.
    }
}

std::string unique_bytes(std::size_t size) {
    static std::mt19937_64 random{std::random_device{}()};
    std::string bytes;
    bytes.reserve(size + sizeof(std::uint64_t));
    while (bytes.size() < size) {
        const std::uint64_t word = random();
        bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
    }
    bytes.resize(size);
    return bytes;
}

oci::Descriptor blob_of(std::string_view bytes, const std::string& media_type) {
    return oci::Descriptor{.media_type = media_type,
                           .digest = oci::Digest::of(bytes),
                           .size = bytes.size(),
                           .annotations = {},
                           .platform = {}};
}

std::string error_from(Errc code, const std::function<void()>& work) {
    try {
        work();
    } catch (const Error& error) {
        INFO("message: ", error.what());
        CHECK(to_string(error.code()) == to_string(code));
        return error.what();
    }
    FAIL_CHECK("no error, expected " << to_string(code));
    return {};
}

}  // namespace prebake::test
