#include "agent/docker/refusal.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/unit/base/thrown.h"

namespace prebake::docker::refusal_test {
namespace {

using tests::contains;

TEST_CASE("what dockerd reports") {
    struct Row {
        std::string message;
        int status;
        Errc expected;
    };
    const Row rows[] = {
        {"manifest for r.example/a:1 not found: manifest unknown: manifest unknown", 404,
         Errc::not_found},
        {"failed to resolve reference \"r.example/a:1\": r.example/a:1: not found", 404,
         Errc::not_found},
        {"no matching manifest for linux/s390x in the manifest list entries", 404, Errc::not_found},
        {"unauthorized: authentication required", 500, Errc::unauthenticated},
        {"Get \"https://r.example/v2/a/manifests/1\": no basic auth credentials", 500,
         Errc::unauthenticated},
        {"pull access denied for a, repository does not exist or may require 'docker login': "
         "denied: requested access to the resource is denied",
         404, Errc::unauthenticated},
        {"pull access denied, repository does not exist or may require authorization: server "
         "message: insufficient_scope: authorization failed",
         404, Errc::unauthenticated},
        {"denied: User is not authorized to pull", 500, Errc::permission_denied},
        {"toomanyrequests: You have reached your unauthenticated pull rate limit.", 500,
         Errc::rate_limited},
        {"unexpected status from HEAD request to https://r.example/v2/: 429 Too Many Requests", 500,
         Errc::rate_limited},
        {"failed to register layer: write /usr/lib/libLLVM.so: no space left on device", 200,
         Errc::no_space},
        {"write /var/lib/docker/tmp/GetImageBlob1: no space left on device", 200, Errc::no_space},
        {"Get \"https://r.example/v2/\": x509: certificate signed by unknown authority", 500,
         Errc::permission_denied},
        {"Get \"https://r.example/v2/\": http: server gave HTTP response to HTTPS client", 500,
         Errc::failed_precondition},
        {"Get \"https://r.example/v2/\": net/http: request canceled while waiting for connection "
         "(Client.Timeout exceeded while awaiting headers)",
         500, Errc::timed_out},
        {"Get \"https://r.example/v2/\": net/http: TLS handshake timeout", 500, Errc::timed_out},
        {"Get \"https://r.example/v2/\": dial tcp: lookup r.example: no such host", 500,
         Errc::unavailable},
        {"dial tcp 127.0.0.1:1: connect: connection refused", 500, Errc::unavailable},
        {"received unexpected HTTP status: 503 Service Unavailable", 500, Errc::unavailable},
        {"Get \"https://r.example/v2/\": EOF", 500, Errc::unavailable},
        {"unexpected EOF", 200, Errc::unavailable},
        {"context canceled", 200, Errc::unavailable},
        {"filesystem layer verification failed for digest sha256:11", 200, Errc::corrupt},
        {"layers from manifest don't match image configuration", 200, Errc::corrupt},
        {"mkdir /var/lib/docker/tmp: permission denied", 500, Errc::permission_denied},
        {"archive/tar: invalid tar header", 200, Errc::failed_precondition},
        {"something new", 400, Errc::unsupported},
        {"something new", 403, Errc::permission_denied},
        {"something new", 409, Errc::conflict},
        {"something new", 500, Errc::failed_precondition},
        {"something new", 503, Errc::unavailable},
        {"", 404, Errc::not_found},
    };
    for (const Row& row : rows) {
        INFO(row.message);
        const Error error =
            error_of({.work = "pull r.example/a:1", .message = row.message, .status = row.status});
        CHECK(error.code() == row.expected);
        CHECK(contains(error.message(), "dockerd cannot pull r.example/a:1: "));
        CHECK(contains(error.message(), row.message));
    }
    CHECK(contains(error_of({.work = "pull a", .message = "", .status = 404}).message(), "404"));
}

TEST_CASE("names of images are no reasons") {
    const Error error =
        error_of({.work = "pull unauthorized.example/No-Such-Host/toomanyrequests:1",
                  .message = "manifest for unauthorized.example/no-such-host/toomanyrequests:1 not "
                             "found: manifest unknown",
                  .names = {"no-such-host/toomanyrequests", "unauthorized.example"}});
    CHECK(error.code() == Errc::not_found);
    // Words of a reason contain short names.
    CHECK(error_of({.work = "pull r.example/a:1",
                    .message = "unauthorized: r.example/a:1",
                    .names = {"a", "r.example"}})
              .code() == Errc::unauthenticated);
}

TEST_CASE("messages never have a secret, and end") {
    const Error error =
        error_of({.work = "pull a",
                  .message = "bad credentials SECRET and SECRET" + std::string(10'000, 'x'),
                  .secrets = {"", "SECRET"}});
    CHECK(!contains(error.what(), "SECRET"));
    CHECK(error.message().size() < 600);
}

}  // namespace
}  // namespace prebake::docker::refusal_test
