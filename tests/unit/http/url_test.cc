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

TEST_CASE("a reference is relative to the URL of its request, and signed ones stay as they are") {
    const char* const base = "https://a.example:5000/v2/x/blobs/y?z=1";
    struct Row {
        std::string reference;
        const char* expected;  ///< null: refused
    };
    for (const Row& row : {
             Row{"https://cdn.example/b?sig=%2B", "https://cdn.example/b?sig=%2B"},
             Row{"HTTPS://CDN.Example/b", "HTTPS://CDN.Example/b"},
             Row{"https://cdn.example", "https://cdn.example"},
             Row{"https://cdn.example?sig=a/b?c", "https://cdn.example?sig=a/b?c"},
             Row{"https://u:p@cdn.example/b", "https://u:p@cdn.example/b"},
             Row{" https://cdn.example/b \t", "https://cdn.example/b"},
             Row{"/other?q", "https://a.example:5000/other?q"},
             Row{"other", "https://a.example:5000/v2/x/blobs/other"},
             Row{"other?to=https://c.example",
                 "https://a.example:5000/v2/x/blobs/other?to=https://c.example"},
             Row{"./../w/.", "https://a.example:5000/v2/x/w/"},
             Row{"../../../../w", "https://a.example:5000/w"},
             Row{"/v2/./x/../y//z", "https://a.example:5000/v2/y//z"},
             Row{"?q", "https://a.example:5000/v2/x/blobs/y?q"},
             Row{"", "https://a.example:5000/v2/x/blobs/y?z=1"},
             Row{"//b.example/c", "https://b.example/c"},
             Row{"//b.example", "https://b.example"},
             // Byte for byte.
             Row{"https://c.example/a//b/%7e/%2f/.././~?x=%c3%a9&y=a+b",
                 "https://c.example/a//b/%7e/%2f/.././~?x=%c3%a9&y=a+b"},
             Row{"https://c.example/b?s=JqQ~x_-!$&'()*,;=:@/?",
                 "https://c.example/b?s=JqQ~x_-!$&'()*,;=:@/?"},
             // What a URL must not have is encoded, nothing else.
             Row{"https://c.example/a b/%2F?f=\"x y\"|{z}",
                 "https://c.example/a%20b/%2F?f=%22x%20y%22%7C%7Bz%7D"},
             Row{"https://c.example/[a]<b>^`\\?x[]=1",
                 "https://c.example/%5Ba%5D%3Cb%3E%5E%60%5C?x%5B%5D=1"},
             Row{"https://c.example/100%/%zz/%4?%", "https://c.example/100%25/%25zz/%254?%25"},
             Row{"/gr\xc3\xb6\xc3\x9f"
                 "e\x7f",
                 "https://a.example:5000/gr%C3%B6%C3%9Fe%7F"},
             Row{"https://c.example/b?x#fragment?y", "https://c.example/b?x"},
             Row{"#fragment", "https://a.example:5000/v2/x/blobs/y?z=1"},
             Row{"file:///etc/passwd", nullptr},
             Row{"unix:/run/x", nullptr},
             Row{"https:/x", nullptr},
             Row{"https:x", nullptr},
             Row{"https://a b/", nullptr},
             Row{"https:///x", nullptr},
             Row{"https://a.example@b@c/", nullptr},
             Row{"https://a.example\\@b/", nullptr},
             Row{"//a.example:x/", nullptr},
         }) {
        CAPTURE(row.reference);
        if (row.expected != nullptr) {
            CHECK(resolve_reference(base, row.reference) == row.expected);
        } else {
            CHECK_THROWS_AS(resolve_reference(base, row.reference), Error);
        }
    }
    CHECK(resolve_reference("http://a.example", "b") == "http://a.example/b");
}

TEST_CASE("user information is decoded, and kept apart from the host") {
    CHECK(parse_url("https://ann:p%40ss@a.example/").user == "ann:p@ss");
    CHECK(parse_url("https://ann@a.example/").user == "ann:");
    CHECK(parse_url("https://ann:p%40ss@a.example/").authority() == "a.example:443");
    CHECK_FALSE(parse_url("https://a.example/b@c").user);
}

TEST_CASE("values are percent-encoded for queries and forms") {
    CHECK(percent_encode("repository:a/b:pull") == "repository%3Aa%2Fb%3Apull");
    CHECK(percent_encode("a b+c&d=e%\n") == "a%20b%2Bc%26d%3De%25%0A");
    CHECK(percent_encode("aZ09-._~") == "aZ09-._~");
}

TEST_CASE("percent-decoding") {
    CHECK(percent_decode("a%20b%2Bc+%26%00") == std::string("a b+c+&\0", 8));
    CHECK(percent_decode("%e4%C3") == "\xe4\xc3");
    CHECK(percent_decode("") == "");
    for (const char* text : {"%", "a%2", "%zz", "%%20"}) {
        CAPTURE(text);
        CHECK_FALSE(percent_decode(text));
    }
}

}  // namespace
}  // namespace prebake::http
