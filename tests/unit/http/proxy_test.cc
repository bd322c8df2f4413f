#include "agent/http/proxy.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "agent/base/base64.h"
#include "tests/unit/http/error_of.h"

namespace prebake::http {
namespace {

using tests::contains;
using tests::error_of;

ProxySettings settings_from(const std::map<std::string, std::string>& variables) {
    return proxies_of_environment([&](const char* name) {
        const auto found = variables.find(name);
        return found == variables.end() ? std::string() : found->second;
    });
}

TEST_CASE("proxies in the environment") {
    struct Row {
        std::string name;
        std::map<std::string, std::string> variables;
        ProxySettings settings;
    };
    const std::vector<Row> rows = {
        {"none", {{"PATH", "/bin"}, {"ALL_PROXY", "http://all:1"}}, {}},
        {"upper case",
         {{"HTTP_PROXY", "a"}, {"HTTPS_PROXY", "b"}, {"NO_PROXY", "c"}},
         {{"a", "HTTP_PROXY"}, {"b", "HTTPS_PROXY"}, "c"}},
        {"lower case",
         {{"http_proxy", "a"}, {"https_proxy", "b"}, {"no_proxy", "c"}},
         {{"a", "http_proxy"}, {"b", "https_proxy"}, "c"}},
        {"both: upper case wins",
         {{"HTTPS_PROXY", "a"}, {"https_proxy", "b"}, {"NO_PROXY", "c"}, {"no_proxy", "d"}},
         {{}, {"a", "HTTPS_PROXY"}, "c"}},
        {"upper case is empty",
         {{"HTTPS_PROXY", " "}, {"https_proxy", "b"}},
         {{}, {"b", "https_proxy"}, ""}},
        {"below a web server HTTP_PROXY is a header of the client",
         {{"REQUEST_METHOD", "GET"}, {"HTTP_PROXY", "a"}, {"HTTPS_PROXY", "b"}},
         {{}, {"b", "HTTPS_PROXY"}, ""}},
        {"there http_proxy counts",
         {{"REQUEST_METHOD", "GET"}, {"HTTP_PROXY", "a"}, {"http_proxy", "c"}},
         {{"c", "http_proxy"}, {}, ""}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(settings_from(row.variables) == row.settings);
    }
}

TEST_CASE("proxies as variables of other programs") {
    CHECK(variables_of({}).empty());
    CHECK(variables_of({.for_http = {}, .for_https = {}, .no_proxy = "a.example"}).empty());
    CHECK(variables_of({.for_http = {},
                        .for_https = {.url = "http://me:SECRET@p:1", .source = "x"},
                        .no_proxy = {}})
              .empty());
    const auto variables = variables_of({.for_http = {},
                                         .for_https = {.url = "http://p:1", .source = "x"},
                                         .no_proxy = "a.example"});
    const std::map<std::string, std::string> by_name(variables.begin(), variables.end());
    CHECK(by_name.at("HTTPS_PROXY") == "http://p:1");
    CHECK(by_name.at("http_proxy").empty());
    // What a program makes of them is what we do.
    const ProxySettings read = settings_from(by_name);
    CHECK(read.for_https.url == "http://p:1");
    CHECK(read.no_proxy.starts_with("a.example,169.254.169.254,"));
}

/// "HOST:PORT" of the proxy, or "" if the URL is reached without one.
std::string proxy_of(const std::string& url, const std::string& no_proxy = {}) {
    const ProxySettings settings{.for_http = {.url = "http://plain:1", .source = "HTTP_PROXY"},
                                 .for_https = {.url = "http://secure:2", .source = "HTTPS_PROXY"},
                                 .no_proxy = no_proxy};
    const auto proxy = proxy_for(settings, parse_url(url));
    return proxy ? proxy->server.authority() : "";
}

TEST_CASE("the scheme of the URL decides about the proxy") {
    CHECK(proxy_of("http://a.example/") == "plain:1");
    CHECK(proxy_of("https://a.example/") == "secure:2");
    CHECK_FALSE(proxy_for({}, parse_url("https://a.example/")));
    const ProxySettings only_http{.for_http = {.url = "http://plain:1", .source = "HTTP_PROXY"},
                                  .for_https = {},
                                  .no_proxy = {}};
    CHECK_FALSE(proxy_for(only_http, parse_url("https://a.example/")));
}

TEST_CASE("this machine and its link are never reached through a proxy") {
    for (const char* host : {"localhost", "LOCALHOST:5000", "127.0.0.1", "127.9.9.9:80",
                             "2130706433", "[::1]:5000", "[::ffff:127.0.0.1]", "169.254.169.254",
                             "2852039166", "169.254.170.2", "[fd00:ec2::254]", "[fe80::1]"}) {
        CAPTURE(host);
        CHECK(proxy_of("http://" + std::string(host) + "/") == "");
        CHECK(proxy_of("https://" + std::string(host) + "/") == "");
    }
    for (const char* host : {"localhost.example", "a.localhost", "10.0.0.1", "[2001:db8::1]"}) {
        CAPTURE(host);
        CHECK(proxy_of("http://" + std::string(host) + "/") == "plain:1");
    }
}

TEST_CASE("NO_PROXY") {
    struct Row {
        std::string no_proxy;
        std::string host;
        bool exempt;
    };
    const std::vector<Row> rows = {
        {"", "a.example", false},
        {" , ,", "a.example", false},
        {"*", "a.example", true},
        {"*", "10.0.0.1", true},
        {"b.example,*", "a.example", true},
        {"example.com", "example.com", true},
        {"example.com", "EXAMPLE.com", true},
        {"Example.COM", "example.com", true},
        {"example.com", "a.b.example.com", true},
        {"example.com", "notexample.com", false},
        {"example.com", "example.com.evil", false},
        {".example.com", "a.example.com", true},
        {".example.com", "example.com", false},
        {"*.example.com", "a.example.com", true},
        {"*.example.com", "example.com", false},
        {"*example.com", "a.example.com", false},
        {"b.example, a.example", "a.example", true},
        {"b.example a.example", "a.example", true},
        {"b.example,\ta.example ,", "a.example", true},
        {"a.example:5000", "a.example:5000", true},
        {"a.example:5000", "b.a.example:5000", true},
        {"a.example:5000", "a.example:5001", false},
        {"a.example:443", "a.example", true},
        {"a.example:80", "a.example", false},
        {":443", "a.example", false},
        {"10.0.0.1", "10.0.0.1", true},
        {"10.0.0.1", "10.0.0.2", false},
        {"10.0.0.1", "a.10.0.0.1.example", false},
        {"10.0.0.1:443", "10.0.0.1", true},
        {"10.0.0.1:5000", "10.0.0.1", false},
        {"10.0.0.0/8", "10.200.3.4", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.1.2.3/16", "10.1.99.99", true},
        {"10.0.0.0/0", "192.0.2.1", true},
        {"10.0.0.0/33", "10.0.0.1", false},
        {"10.0.0.0/x", "10.0.0.1", false},
        {"10.0.0.0/", "10.0.0.1", false},
        {"10.0.0.0/8", "a.example", false},
        {"a.example/8", "a.example", false},
        {"2001:db8::/32", "[2001:db8:1::1]", true},
        {"2001:db8::/32", "[2001:db9::1]", false},
        {"2001:db8::/129", "[2001:db8::1]", false},
        {"2001:db8::1", "[2001:db8::1]", true},
        {"[2001:db8::1]", "[2001:db8:0::1]", true},
        {"[2001:db8::1]:443", "[2001:db8::1]", true},
        {"[2001:db8::1]:5000", "[2001:db8::1]", false},
        {"::ffff:10.0.0.1", "10.0.0.1", true},
        {"::/0", "[2001:db8::1]", true},
    };
    for (const Row& row : rows) {
        CAPTURE(row.no_proxy);
        CAPTURE(row.host);
        CHECK(proxy_of("https://" + row.host + "/", row.no_proxy).empty() == row.exempt);
    }
}

std::optional<Proxy> parsed_proxy(const std::string& url) {
    const ProxySettings settings{
        .for_http = {}, .for_https = {.url = url, .source = "HTTPS_PROXY"}, .no_proxy = {}};
    return proxy_for(settings, parse_url("https://a.example/"));
}

TEST_CASE("forms of a proxy's URL") {
    struct Row {
        std::string url;
        std::string authority;
        bool tls;
        std::string user;  ///< "user:password" of Basic; empty: none
    };
    const std::vector<Row> rows = {
        {"http://proxy.example:3128", "proxy.example:3128", false, ""},
        {"HTTP://Proxy.Example:3128/", "proxy.example:3128", false, ""},
        {" http://proxy.example:3128\n", "proxy.example:3128", false, ""},
        {"https://proxy.example:3129/path?x#y", "proxy.example:3129", true, ""},
        {"proxy.example:3128", "proxy.example:3128", false, ""},
        {"proxy.example", "proxy.example:80", false, ""},
        {"https://proxy.example", "proxy.example:443", true, ""},
        {"10.0.0.1:8080", "10.0.0.1:8080", false, ""},
        {"http://[2001:db8::1]:3128", "[2001:db8::1]:3128", false, ""},
        {"http://me:pass@proxy.example:3128", "proxy.example:3128", false, "me:pass"},
        {"me:pass@proxy.example:3128", "proxy.example:3128", false, "me:pass"},
        {"http://me@proxy.example:3128", "proxy.example:3128", false, "me:"},
        {"http://me:@proxy.example:3128", "proxy.example:3128", false, "me:"},
        {"http://me:a:b@proxy.example:3128", "proxy.example:3128", false, "me:a:b"},
        {"http://me:p@ss@proxy.example:3128", "proxy.example:3128", false, "me:p@ss"},
        {"http://corp%5Cme:p%40%2F%25%20+@proxy.example:3128", "proxy.example:3128", false,
         "corp\\me:p@/% +"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.url);
        const auto proxy = parsed_proxy(row.url);
        REQUIRE(proxy);
        CHECK(proxy->server.authority() == row.authority);
        CHECK(proxy->name() == "the proxy " + row.authority);
        CHECK(proxy->server.tls == row.tls);
        CHECK(proxy->authorization == (row.user.empty() ? "" : "Basic " + base64_encode(row.user)));
        CHECK(proxy->source == "HTTPS_PROXY");
    }
}

TEST_CASE("proxies that cannot be used") {
    for (const char* url :
         {"socks5://me:SECRET@proxy.example:1080", "socks5h://proxy.example", "SOCKS4://p:1"}) {
        CAPTURE(url);
        const Error error = error_of([&] { parsed_proxy(url); });
        CHECK(error.code() == Errc::usage);
        CHECK(contains(error.message(), "the proxy in HTTPS_PROXY is a SOCKS proxy"));
    }
    for (const char* url :
         {"ftp://me:SECRET@proxy.example", "http://", "http://:3128", "http://me:SECRET@",
          "http://me:SECRET@proxy.example:port", "http://me:SECRET%zz@proxy.example:3128",
          "http://me:SECRET%@proxy.example:3128", "http://me:1/SECRET@proxy.example:3128",
          "http://me:1#SECRET@proxy.example:3128", "http://me:SECRET@proxy.example:99999",
          "http://me:SECRET@proxy example:3128", "://SECRET"}) {
        CAPTURE(url);
        const Error error = error_of([&] { parsed_proxy(url); });
        CHECK(error.code() == Errc::usage);
        CHECK(contains(error.message(), "the proxy in HTTPS_PROXY is malformed"));
    }
}

TEST_CASE("a malformed proxy does not matter to hosts that are reached without one") {
    const ProxySettings settings{.for_http = {},
                                 .for_https = {.url = "socks5://p", .source = "HTTPS_PROXY"},
                                 .no_proxy = "a.example"};
    CHECK_FALSE(proxy_for(settings, parse_url("https://a.example/")));
    CHECK_FALSE(proxy_for(settings, parse_url("http://b.example/")));
}

}  // namespace
}  // namespace prebake::http
