#include "agent/registry/redirect.h"

#include <doctest/doctest.h>

#include "agent/registry/retry.h"
#include "tests/unit/registry/scripted_http.h"

namespace prebake::registry {
namespace {

const std::string kAsked = "https://reg.example/v2/a/blobs/x";

Redirect redirect_to(const std::string& location) {
    const ScriptedResponse response({.status = 307, .headers = {{"location", location}}});
    return redirect_of(response, kAsked);
}

TEST_CASE("which statuses are redirects") {
    for (const int status : {301, 302, 303, 307, 308}) CHECK(is_redirect(status));
    for (const int status : {200, 300, 304, 305, 306, 400}) CHECK_FALSE(is_redirect(status));
}

TEST_CASE("a Location is followed as it is, or as it was meant") {
    struct Row {
        std::string location;
        const char* url;
    };
    for (const Row& row : {
             Row{"https://cdn.example//a/%7e?Signature=a~b_%2f",
                 "https://cdn.example//a/%7e?Signature=a~b_%2f"},
             Row{"https://cdn.example?sig=a b", "https://cdn.example?sig=a%20b"},
             Row{"//cdn.example/b#f", "https://cdn.example/b"},
             Row{"../y", "https://reg.example/v2/a/y"},
             Row{"HTTPS://cdn.example/b", "HTTPS://cdn.example/b"},
         }) {
        CAPTURE(row.location);
        const Redirect redirect = redirect_to(row.location);
        CHECK(redirect.url == row.url);
        CHECK(redirect.authorization.empty());
    }
}

TEST_CASE("user information becomes an authorization, as in Go") {
    CHECK(redirect_to("https://u:SECRET@cdn.example/b").authorization == "Basic dTpTRUNSRVQ=");
    CHECK(redirect_to("https://u:SE%43RET@cdn.example/b").authorization == "Basic dTpTRUNSRVQ=");
    CHECK(redirect_to("https://u@cdn.example/b").authorization == "Basic dTo=");
}

TEST_CASE("what cannot be followed is an error about the response") {
    struct Row {
        http::Headers headers;
        Errc code;
        const char* message;
    };
    for (const Row& row : {
             Row{{}, Errc::corrupt, "reg.example:443 redirects without a Location"},
             Row{{{"Location", ""}}, Errc::corrupt, "redirects without a Location"},
             Row{{{"Location", "ftp://SECRET"}},
                 Errc::corrupt,
                 "reg.example:443: a URL that it refers to is malformed"},
             Row{{{"Location", "http://cdn.example/SECRET"}},
                 Errc::permission_denied,
                 "reg.example:443 redirects to http://cdn.example:80, which is not encrypted"},
             Row{{{"Location", "http://reg.example/"}}, Errc::permission_denied, "not encrypted"},
         }) {
        const ScriptedResponse response({.status = 302, .headers = row.headers});
        try {
            redirect_of(response, kAsked);
            FAIL("followed");
        } catch (const ResponseError& error) {
            CHECK(error.status() == 302);
            CHECK(error.code() == row.code);
            CHECK(contains(error.message(), row.message));
            CHECK_FALSE(contains(error.what(), "SECRET"));
        }
    }
    const ScriptedResponse plain({.status = 302, .headers = {{"Location", "http://b/"}}});
    CHECK(redirect_of(plain, "http://a/").url == "http://b/");
}

}  // namespace
}  // namespace prebake::registry
