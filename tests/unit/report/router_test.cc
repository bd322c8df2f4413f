#include "agent/report/router.h"

#include <doctest/doctest.h>

#include "agent/base/json.h"
#include "proto/prebake/v1/node.pb.h"
#include "tests/unit/base/thrown.h"

namespace prebake::report {
namespace {

using std::chrono::seconds;
using tests::contains;

v1::Problem problem_in(const Response& response) {
    v1::Failure failure;
    from_json(response.body, failure, "the answer", "");
    CHECK(failure.schema() == "prebake.v1.Failure");
    CHECK(response.content_type == "application/json");
    CHECK(response.body.ends_with("}\n"));
    return failure.problem();
}

TEST_CASE("requests for documents") {
    struct Row {
        const char* name;
        Request request;
        Resource resource;
        seconds wait = seconds(0);
        Goal goal = Goal::ready;
    };
    const Row rows[] = {
        {"the status", {"GET", "/v1/status", "localhost"}, Resource::status},
        {"only its header", {"HEAD", "/v1/status", "localhost"}, Resource::status},
        {"the images", {"GET", "/v1/images", "localhost"}, Resource::images},
        {"the ledger", {"GET", "/v1/ledger", "localhost"}, Resource::ledger},
        {"the trace of a boot", {"GET", "/v1/trace", "localhost"}, Resource::trace},
        {"readiness", {"GET", "/readyz", "localhost"}, Resource::readyz},
        {"as Kubernetes asks", {"GET", "/readyz?verbose", "localhost"}, Resource::readyz},
        {"liveness", {"GET", "/livez?verbose=1", "localhost"}, Resource::livez},
        {"metrics", {"GET", "/metrics", "localhost"}, Resource::metrics},
        {"an empty query", {"GET", "/metrics?", "localhost"}, Resource::metrics},
        {"no wait", {"GET", "/v1/status?wait=0", "localhost"}, Resource::status},
        {"a wait", {"GET", "/v1/status?wait=30", "localhost"}, Resource::status, seconds(30)},
        {"the longest", {"GET", "/v1/status?wait=300", "localhost"}, Resource::status, kMaxWait},
        {"zeros in front",
         {"GET", "/v1/status?wait=007", "localhost"},
         Resource::status,
         seconds(7)},
        {"a wait for hydration",
         {"GET", "/v1/status?wait=30&for=hydrated", "localhost"},
         Resource::status,
         seconds(30),
         Goal::hydrated},
        {"in another order",
         {"GET", "/v1/status?for=hydrated&wait=30", "localhost"},
         Resource::status,
         seconds(30),
         Goal::hydrated},
        {"the usual goal",
         {"GET", "/v1/status?wait=30&for=ready", "localhost"},
         Resource::status,
         seconds(30)},
        {"a goal without a wait",
         {"GET", "/v1/status?for=hydrated", "localhost"},
         Resource::status,
         seconds(0),
         Goal::hydrated},
        {"the absolute form", {"GET", "http://localhost:9813/livez", "x"}, Resource::livez},
        {"of it the query",
         {"GET", "HTTP://[::1]/v1/status?wait=1", "x"},
         Resource::status,
         seconds(1)},
        {"any host on the socket",
         {"GET", "/livez", "evil.example", SocketKind::unix_socket},
         Resource::livez},
        {"no host on the socket", {"GET", "/livez", "", SocketKind::unix_socket}, Resource::livez},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const Route found = route(row.request);
        REQUIRE(found.resource.has_value());
        CHECK(*found.resource == row.resource);
        CHECK(found.wait == row.wait);
        CHECK(found.goal == row.goal);
    }
}

TEST_CASE("a socket that serves the readiness only") {
    for (const char* target :
         {"/readyz", "/livez", "/v1/status", "/v1/images", "/v1/ledger", "/v1/trace", "/metrics"}) {
        CAPTURE(target);
        const Route found = route(
            {.method = "GET", .target = target, .host = "localhost", .is_readiness_only = true});
        const bool is_served = std::string_view(target).ends_with("z");
        CHECK(found.resource.has_value() == is_served);
        if (is_served) continue;
        CHECK(found.error.status == 403);
        CHECK(contains(problem_in(found.error).next_step(), "report.socket"));
    }
}

TEST_CASE("the Host of a request over TCP") {
    struct Row {
        const char* host;
        unsigned error;  ///< 0: accepted
    };
    const Row rows[] = {
        {"localhost", 0},
        {"LocalHost:80", 0},
        {"127.0.0.1", 0},
        {"127.0.0.1:9813", 0},
        {"[::1]", 0},
        {"[::1]:65535", 0},
        {"localhost:", 0},  // RFC 3986: the port may be empty
        {"", 400},
        {"evil.example", 421},
        {"localhost.evil.example", 421},
        {"localhost:80.evil.example", 421},
        {"localhost:123456", 421},
        {"localhost@evil.example", 421},
        {"127.0.0.1.nip.io", 421},
        {"127.0.0.11", 421},
        {"169.254.169.254", 421},
        {"::1", 421},
        {"[::1]evil", 421},
        {"0.0.0.0", 421},
        {"localhost, evil.example", 421},
    };
    for (const auto& row : rows) {
        CAPTURE(row.host);
        const Route found = route({"GET", "/livez", row.host, SocketKind::tcp});
        CHECK(found.resource.has_value() == (row.error == 0));
        if (row.error != 0) CHECK(found.error.status == row.error);
    }
}

TEST_CASE("rejected requests") {
    struct Row {
        const char* name;
        const char* method;
        std::string target;
        unsigned status;
        const char* code;
        const char* text;  ///< in the message or the next step
    };
    const Row rows[] = {
        {"the root", "GET", "/", 404, "not_found", "/v1/ledger, /v1/trace, /readyz"},
        {"nothing", "GET", "", 404, "not_found", "/metrics"},
        {"a longer path", "GET", "/livez/", 404, "not_found", "/livez/"},
        {"a path up", "GET", "/../etc/passwd", 404, "not_found", "/../etc/passwd"},
        {"an escaped path", "GET", "/%6civez", 404, "not_found", "/%6civez"},
        {"another host in the absolute form", "GET", "http://evil.example/livez", 421,
         "permission_denied", "evil.example"},
        {"another scheme", "GET", "https://localhost/livez", 404, "not_found", "https://"},
        {"a post to nowhere", "POST", "/nowhere", 404, "not_found", "/nowhere"},
        {"a post", "POST", "/v1/status", 405, "usage", "POST"},
        {"a lower-case get", "get", "/livez", 405, "usage", "use GET or HEAD"},
        {"options", "OPTIONS", "/v1/ledger", 405, "usage", "OPTIONS"},
        {"an unknown parameter", "GET", "/v1/status?pretty", 400, "usage", "wait=SECONDS"},
        {"a parameter where none is", "GET", "/metrics?wait=3", 400, "usage", "without a query"},
        {"a wait without a value", "GET", "/v1/status?wait", 400, "usage", "0 to 300"},
        {"an empty wait", "GET", "/v1/status?wait=", 400, "usage", "0 to 300"},
        {"a wait of words", "GET", "/v1/status?wait=soon", 400, "usage", "wait=soon"},
        {"a unit", "GET", "/v1/status?wait=30s", 400, "usage", "wait=30s"},
        {"before now", "GET", "/v1/status?wait=-1", 400, "usage", "wait=-1"},
        {"a fraction", "GET", "/v1/status?wait=1.5", 400, "usage", "wait=1.5"},
        {"too long", "GET", "/v1/status?wait=301", 400, "usage", "wait=301"},
        {"beyond any number", "GET", "/v1/status?wait=99999999999999999999", 400, "usage", "wait"},
        {"two waits", "GET", "/v1/status?wait=1&wait=2", 400, "usage", "wait=1&wait=2"},
        {"another goal", "GET", "/v1/status?wait=1&for=rich", 400, "usage", "for=hydrated"},
        {"no goal", "GET", "/v1/status?for", 400, "usage", "for=ready"},
        {"two goals", "GET", "/v1/status?for=ready&for=ready", 400, "usage", "for="},
        {"a goal where none is", "GET", "/metrics?for=ready", 400, "usage", "without a query"},
        {"nothing behind the &", "GET", "/v1/status?&wait=1", 400, "usage", "&wait=1"},
        {"an escaped number", "GET", "/v1/status?wait=%33", 400, "usage", "wait=%33"},
        {"bytes that are no text", "GET", "/\xff\xfe\x01\"", 404, "not_found", "/???\""},
        {"a very long path", "GET", "/" + std::string(5000, 'x'), 404, "not_found", "xxx...\""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const Route found = route({row.method, row.target, "localhost", SocketKind::tcp});
        CHECK_FALSE(found.resource.has_value());
        const Response& error = found.error;
        CHECK(error.status == row.status);
        CHECK(error.allow == (row.status == 405 ? "GET, HEAD" : ""));
        CHECK(error.body.size() < 1000);
        const v1::Problem problem = problem_in(error);
        CHECK(problem.code() == row.code);
        CHECK(contains(problem.message() + "\n" + problem.next_step(), row.text));
    }
}

}  // namespace
}  // namespace prebake::report
