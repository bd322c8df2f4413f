#include "agent/http/url.h"

#include <doctest/doctest.h>

#include "agent/base/error.h"

namespace prebake::http {
namespace {

TEST_CASE("URLs are split into the parts that a connection needs") {
    struct Row {
        std::string text;
        bool tls;
        const char* host;
        const char* port;
        const char* host_header;
        const char* target;
    };
    for (const Row& row : {
             Row{"https://Ghcr.IO", true, "ghcr.io", "443", "ghcr.io", "/"},
             Row{"http://a:8080/v2/?x=1#f", false, "a", "8080", "a:8080", "/v2/?x=1"},
             Row{"https://a:443/x", true, "a", "443", "a", "/x"},
             Row{"http://a:80", false, "a", "80", "a", "/"},
             Row{"http://a:443", false, "a", "443", "a:443", "/"},
             Row{"https://[::1]:5000/v2", true, "::1", "5000", "[::1]:5000", "/v2"},
             Row{"https://[2001:DB8::1]/v2", true, "2001:db8::1", "443", "[2001:db8::1]", "/v2"},
             Row{"https://a?x=1", true, "a", "443", "a", "/?x=1"},
             Row{"https://u:p@a/", true, "a", "443", "a", "/"},
             Row{"https://a%0d%0ab/", true, "a%0d%0ab", "443", "a%0d%0ab", "/"},
         }) {
        CAPTURE(row.text);
        const Url url = parse_url(row.text);
        CHECK(url.tls == row.tls);
        CHECK(url.host == row.host);
        CHECK(url.port == row.port);
        CHECK(url.host_header == row.host_header);
        CHECK(url.target == row.target);
    }
    CHECK(parse_url("https://[::1]/").authority() == "[::1]:443");
    CHECK(parse_url("http://a:1/x?y").origin() == "http://a:1");
}

TEST_CASE("malformed URLs are refused without being quoted") {
    for (const std::string text :
         {"", "/v2/", "a.example", "ftp://a/SECRET", "https:///SECRET", "https://a b/SECRET",
          "https://a:99999/SECRET", "https://a:0/SECRET", "https://a:x/SECRET",
          "https://a:1x/SECRET", "https://a@b@c/SECRET", "https://a:1:2/SECRET",
          "https://[::1]x/SECRET", "http://a/\r\nSECRET", "https://[::1/SECRET",
          "file:///SECRET"}) {
        CAPTURE(text);
        try {
            parse_url(text);
            FAIL("accepted");
        } catch (const Error& error) {
            CHECK(error.code() == Errc::usage);
            CHECK(std::string(error.what()).find("SECRET") == std::string::npos);
        }
    }
}

TEST_CASE("a Location is relative to the URL of its request") {
    const char* const base = "https://a.example:5000/v2/x/blobs/y?z=1";
    struct Row {
        std::string location;
        const char* expected;  ///< null: refused
    };
    for (const Row& row : {
             Row{"https://cdn.example/b?sig=%2B", "https://cdn.example/b?sig=%2B"},
             Row{"/other?q", "https://a.example:5000/other?q"},
             Row{"other", "https://a.example:5000/v2/x/blobs/other"},
             Row{"../w", "https://a.example:5000/v2/x/w"},
             Row{"//b.example/c", "https://b.example/c"},
             Row{"file:///etc/passwd", nullptr},
             Row{"unix:/run/x", nullptr},
             Row{"https://a b/", nullptr},
             Row{"https:///x", nullptr},
             Row{"https://a.example@b@c/", nullptr},
             Row{"//a.example:x/", nullptr},
         }) {
        CAPTURE(row.location);
        if (row.expected != nullptr) {
            CHECK(resolve_location(base, row.location) == row.expected);
        } else {
            CHECK_THROWS_AS(resolve_location(base, row.location), Error);
        }
    }
}

TEST_CASE("values are percent-encoded for queries and forms") {
    CHECK(percent_encode("repository:a/b:pull") == "repository%3Aa%2Fb%3Apull");
    CHECK(percent_encode("a b+c&d=e%\n") == "a%20b%2Bc%26d%3De%25%0A");
    CHECK(percent_encode("aZ09-._~") == "aZ09-._~");
}

}  // namespace
}  // namespace prebake::http
