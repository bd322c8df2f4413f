#include "agent/containerd/call.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <future>
#include <string>
#include <thread>

#include "agent/containerd/content.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/containerd/fake_containerd.h"

namespace prebake::containerd {
namespace {

using grpc::Status;
using grpc::StatusCode;
using std::chrono::milliseconds;
using tests::contains;
using tests::thrown_by;

TEST_CASE("every gRPC code has its meaning") {
    struct Row {
        StatusCode code;
        Errc expected;
        bool is_stopped = false;
        const char* message = "";
    };
    for (const Row& row : {
             Row{StatusCode::CANCELLED, Errc::unavailable},
             Row{StatusCode::CANCELLED, Errc::cancelled, true},
             Row{StatusCode::UNKNOWN, Errc::io},
             Row{StatusCode::UNKNOWN, Errc::no_space, false, "write a: no space left on device"},
             Row{StatusCode::UNKNOWN, Errc::no_space, false, "write a: disk quota exceeded"},
             Row{StatusCode::INTERNAL, Errc::io},
             Row{StatusCode::INTERNAL, Errc::no_space, false, "no space left on device"},
             Row{StatusCode::NOT_FOUND, Errc::not_found, false, "no space left on device"},
             Row{StatusCode::INVALID_ARGUMENT, Errc::internal},
             Row{StatusCode::DEADLINE_EXCEEDED, Errc::timed_out},
             Row{StatusCode::NOT_FOUND, Errc::not_found},
             Row{StatusCode::ALREADY_EXISTS, Errc::conflict},
             Row{StatusCode::PERMISSION_DENIED, Errc::permission_denied},
             Row{StatusCode::UNAUTHENTICATED, Errc::unauthenticated},
             Row{StatusCode::RESOURCE_EXHAUSTED, Errc::too_large},
             Row{StatusCode::FAILED_PRECONDITION, Errc::failed_precondition},
             Row{StatusCode::ABORTED, Errc::conflict},
             Row{StatusCode::OUT_OF_RANGE, Errc::conflict},
             Row{StatusCode::UNIMPLEMENTED, Errc::unsupported},
             Row{StatusCode::UNAVAILABLE, Errc::unavailable},
             Row{StatusCode::UNAVAILABLE, Errc::unavailable, true},
             Row{StatusCode::DATA_LOSS, Errc::corrupt},
         }) {
        CAPTURE(row.code);
        CHECK(errc_of(Status(row.code, row.message), row.is_stopped) == row.expected);
    }
}

TEST_CASE("an error names the work and quotes containerd") {
    const fake::Containerd server;
    const Connection connection(server.socket(), {});
    const auto error = [&](StatusCode code, const std::string& message) {
        return error_of(Status(code, message), connection, "read the blob x");
    };
    CHECK(error(StatusCode::NOT_FOUND, "no such blob").message() ==
          "cannot read the blob x: no such blob");
    CHECK(error(StatusCode::DEADLINE_EXCEEDED, "Deadline Exceeded").message() ==
          "cannot read the blob x: containerd did not answer in time");
    CHECK_FALSE(error(StatusCode::UNKNOWN, "no space left on device").next_step().empty());
    // The socket works: the message is containerd's.
    CHECK(error(StatusCode::UNAVAILABLE, "locked").message() == "cannot read the blob x: locked");
}

TEST_CASE("an error names the socket if containerd is gone") {
    fake::Containerd server;
    const Connection connection(server.socket(), {});
    server.stop();
    for (const StatusCode code : {StatusCode::UNAVAILABLE, StatusCode::UNKNOWN}) {
        const Error error = error_of(Status(code, "EOF"), connection, "read the blob x");
        CHECK(error.code() == Errc::unavailable);
        CHECK(contains(error.message(),
                       "cannot read the blob x: containerd does not answer on " + server.socket()));
    }
}

TEST_CASE("a call ends at its timeout") {
    fake::Containerd server;
    server.version.version = [](auto& context, const auto&, auto&) {
        while (!context.IsCancelled()) std::this_thread::sleep_for(milliseconds(1));
        return Status::CANCELLED;
    };
    const Connection connection(server.socket(), {});
    fake::version::VersionResponse response;
    const Status status = invoke(connection, Scope{}, &fake::version::Version::Stub::Version,
                                 google::protobuf::Empty(), response, milliseconds(50));
    CHECK(status.error_code() == StatusCode::DEADLINE_EXCEEDED);
    CHECK(error_of(status, connection, "ask").code() == Errc::timed_out);
}

TEST_CASE("a stop request cancels a running call") {
    fake::Containerd server;
    std::promise<void> arrived;
    server.version.version = [&](auto& context, const auto&, auto&) {
        arrived.set_value();
        while (!context.IsCancelled()) std::this_thread::sleep_for(milliseconds(1));
        return Status::CANCELLED;
    };
    std::stop_source stop;
    const Connection connection(server.socket(), stop.get_token());
    auto call = std::async(std::launch::async, [&] {
        return thrown_by([&] { static_cast<void>(connection.version()); });
    });
    arrived.get_future().wait();
    stop.request_stop();
    CHECK(call.get().code() == Errc::cancelled);
    // Later calls do not start.
    CHECK(thrown_by([&] { static_cast<void>(connection.version()); }).code() == Errc::cancelled);
}

TEST_CASE("the scope is sent in headers") {
    fake::Containerd server;
    std::string headers;
    server.content.info = [&](auto& context, const auto&, auto&) {
        for (const char* name : {"containerd-namespace", "containerd-lease"}) {
            const auto found = context.client_metadata().find(name);
            if (found == context.client_metadata().end()) continue;
            headers += std::string(name) + "=" +
                       std::string(found->second.data(), found->second.size()) + " ";
        }
        return Status(StatusCode::NOT_FOUND, "");
    };
    const Connection connection(server.socket(), {});
    const oci::Digest digest = oci::Digest::of("x");
    CHECK_FALSE(Content(connection, {.ns = "k8s.io", .lease = "l"}).info(digest));
    CHECK(headers == "containerd-namespace=k8s.io containerd-lease=l ");
    headers.clear();
    CHECK_FALSE(Content(connection, {.ns = "default", .lease = {}}).info(digest));
    CHECK(headers == "containerd-namespace=default ");
}

TEST_CASE("a connection survives a restart of the daemon") {
    fake::Containerd server;
    server.version.version = [](auto&, const auto&, auto& response) {
        response.set_version("v1");
        return Status::OK;
    };
    const Connection connection(server.socket(), {});
    CHECK(connection.version().version == "v1");
    server.stop();
    const Error error = thrown_by([&] { static_cast<void>(connection.version()); });
    CHECK(error.code() == Errc::unavailable);
    CHECK(ends_session(error));
    server.start();
    CHECK(connection.version().version == "v1");
}

TEST_CASE("a process that does not speak gRPC does not block a stop request") {
    const TemporaryDirectory directory;
    const std::string path = (directory.path() / "s").string();
    const int listening = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(listening, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listening, 8) == 0);
    std::stop_source stop;
    const Connection connection(path, stop.get_token());
    auto call = std::async(std::launch::async, [&] {
        return thrown_by([&] { static_cast<void>(connection.version()); });
    });
    CHECK(call.wait_for(milliseconds(100)) == std::future_status::timeout);
    stop.request_stop();
    CHECK(call.get().code() == Errc::cancelled);
    ::close(listening);
}

}  // namespace
}  // namespace prebake::containerd
