#include "agent/registry/diagnosis.h"

#include <doctest/doctest.h>

#include <string>

namespace prebake::registry {
namespace {

struct Said {
    std::string name;
    std::string body;
    std::string expected;
};

TEST_CASE("a registry's error document becomes one line") {
    const Said rows[] = {
        {"code and message", R"({"errors":[{"code":"DENIED","message":"no"}]})", "DENIED: no"},
        {"the first of two", R"({"errors":[{"code":"A"},{"code":"B"}]})", "A"},
        {"the first that says something", R"({"errors":[{},{"code":"B"}]})", "B"},
        {"message alone", R"({"errors":[{"message":"no"}]})", "no"},
        {"title", R"({"errors":[{"title":"no","status":"403"}]})", "no"},
        {"a list of texts", R"({"errors":["x"]})", "x"},
        {"errors is a text", R"({"errors":"x"})", "x"},
        {"a detail", R"({"errors":[{"code":"DENIED","message":"no","detail":"86 known holes"}]})",
         "DENIED: no (86 known holes)"},
        {"a detail of parts",
         R"({"errors":[{"code":"C","message":"m","detail":[{"Type":"repository","Class":"",)"
         R"("Id":7},"b"]}]})",
         "C: m (Type: repository, b)"},
        {"a detail alone", R"({"errors":[{"detail":{"reason":"quota"}}]})", "reason: quota"},
        {"nothing twice", R"({"errors":[{"code":"DENIED","message":"denied","detail":"Denied"}]})",
         "DENIED"},
        {"names in any case", R"({"Errors":[{"Code":"A","Message":"b"}]})", "A: b"},
        {"control characters", R"({"errors":[{"message":"a\u001b[31m\nb\u009bc\u0007d"}]})",
         "a?[31m b??c?d"},
        {"other text survives", R"({"errors":[{"message":"größer"}]})", "größer"},
        {"cut at 300 bytes", R"({"errors":[{"message":")" + std::string(400, 'x') + R"("}]})",
         std::string(297, 'x') + "..."},
        {"not cut inside a character",
         R"({"errors":[{"message":")" + std::string(296, 'x') + R"(ößxxx"}]})",
         std::string(296, 'x') + "..."},
        {"wrong types", R"({"errors":[{"code":1,"message":{}}]})", ""},
        {"an empty list", R"({"errors":[]})", ""},
        {"nested too deeply", std::string(5000, '['), ""},
        {"cut off", R"({"errors":[{"message":"no)", ""},
        {"nothing", "", ""},
    };
    for (const Said& row : rows) {
        CAPTURE(row.name);
        CHECK(diagnosis(row.body, {}) == row.expected);
    }
}

TEST_CASE("other services give reasons in other forms") {
    const Said rows[] = {
        {"message", R"({"message":"no"})", "no"},
        {"error", R"({"error":"no"})", "no"},
        {"an error with parts", R"({"error":{"code":"A","message":"b"}})", "A: b"},
        {"OAuth2", R"({"error":"invalid_grant","error_description":"the account is locked"})",
         "invalid_grant: the account is locked"},
        {"problem details", R"({"title":"Forbidden","status":403,"detail":"by policy"})",
         "Forbidden (by policy)"},
        {"detail", R"({"detail":"Not found."})", "Not found."},
        {"a text", R"("no")", "no"},
        {"a list", R"([{"message":"no"}])", "no"},
        {"a number", "403", ""},
        {"what is not known is not shown", R"({"headers":{"Authorization":"Basic SECRET"}})", ""},
        {"object storage",
         "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>Request has\nexpired"
         "</Message><StringToSign>SECRET</StringToSign></Error>",
         "AccessDenied: Request has expired"},
        {"object storage with a byte order mark",
         "\xEF\xBB\xBF<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code></Error>",
         "AuthenticationFailed"},
        {"object storage with details",
         "<Error><Code>AccessDenied</Code><Message>Access denied.</Message><Details>Anonymous "
         "caller</Details></Error>",
         "AccessDenied: Access denied. (Anonymous caller)"},
        {"a page with a title",
         "<!DOCTYPE html><html><head><TITLE lang=en> Sign\nin &amp; out </TITLE></head><body>Form "
         "</body></html>",
         "Sign in & out"},
        {"a page whose title is the status",
         "<html><head><title>403 Forbidden</title><style>p {}</style></head><body><script>if (a < "
         "b) {}</script><h1>Blocked</h1><p>Category: <b>malware</b></p><!-- <p>SECRET</p> "
         "--></body></html>",
         "Blocked Category: malware"},
        {"a page with nothing but the status",
         "<html><head><title>502 Bad Gateway</title></head><body></body></html>",
         "502 Bad Gateway"},
        {"a page with code", "<html><title>Oops</title><code>x</code></html>", "Oops"},
        {"a piece of a page", "<h1>404</h1> nothing here", "404 nothing here"},
        {"a tag alone", "<html>", ""},
        {"a tag that does not end", "<title", ""},
        {"plain text", "  image blocked\r\n\tby the list  \n", "image blocked by the list"},
        {"a server that repeats the request", "GET /\nHost: a\nAuthorization: Bearer SECRET\n",
         "GET / Host: a"},
        {"binary", std::string("a\0b", 3), ""},
    };
    for (const Said& row : rows) {
        CAPTURE(row.name);
        CHECK(diagnosis(row.body, {}) == row.expected);
    }
}

}  // namespace
}  // namespace prebake::registry
