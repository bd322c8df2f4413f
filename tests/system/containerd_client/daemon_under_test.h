#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/containerd/connection.h"
#include "agent/oci/manifest.h"

namespace prebake::test {

/// The value of PREBAKE_TEST_CONTAINERD_SOCKET. @throws std::runtime_error if unset: a test without
/// a daemon must not pass.
std::string socket_under_test();

/// A new namespace in a daemon, with a lease that is removed at the end.
class TestNamespace {
  public:
    explicit TestNamespace(const std::string& socket = socket_under_test());
    ~TestNamespace();
    TestNamespace(const TestNamespace&) = delete;
    TestNamespace& operator=(const TestNamespace&) = delete;

    const containerd::Connection& connection() const { return connection_; }
    const containerd::Scope& scope() const { return scope_; }
    void request_stop() { stop_.request_stop(); }

  private:
    std::string socket_;
    std::stop_source stop_;
    containerd::Connection connection_;
    containerd::Scope scope_;
};

/// Bytes that no other test has: containerd would adopt equal ones from another namespace.
std::string unique_bytes(std::size_t size);
oci::Descriptor blob_of(std::string_view bytes,
                        const std::string& media_type = "application/octet-stream");
inline std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

/// Runs `work`, which must throw an Error of `code`. Returns its message.
std::string error_from(Errc code, const std::function<void()>& work);

}  // namespace prebake::test
