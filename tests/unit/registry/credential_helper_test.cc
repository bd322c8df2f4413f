#include "agent/registry/credential_helper.h"

#include <doctest/doctest.h>

#include "tests/unit/base/thrown.h"
#include "tests/unit/registry/programs.h"

namespace prebake::registry {
namespace {

using prebake::tests::contains;
using prebake::tests::thrown_by;

const Repository kHelped{.registry = "a.io", .path = "team/app"};

Credentials ask(CredentialHelpers& helpers, const std::string& helper = "test",
                const Repository& repository = kHelped) {
    return helpers.get(helper, "/config.json", repository, {});
}

TEST_CASE("a helper reads the server from its input and is asked once") {
    const prebake::tests::Programs programs;
    programs.add("docker-credential-test",
                 "cat >>" + programs.file("asked").string() + R"(; echo " $*" >>)" +
                     programs.file("asked").string() +
                     R"(; echo '{"ServerURL":"x","Username":"u","Secret":"p"}')");
    Moment now;
    CredentialHelpers helpers(run_command, [&] { return now; });
    for (int i = 0; i < 3; ++i) {
        const Credentials found = ask(helpers);
        CHECK(found.username == "u");
        CHECK(found.password == "p");
        CHECK(found.source == "docker-credential-test");
    }
    CHECK(programs.read("asked") == "a.io get\n");
    ask(helpers, "test", {.registry = "docker.io", .path = "library/a"});
    CHECK(programs.read("asked") == "a.io get\nhttps://index.docker.io/v1/ get\n");
    now.steady += std::chrono::minutes(6);
    ask(helpers);
    CHECK(contains(programs.read("asked"), "v1/ get\na.io get\n"));
}

TEST_CASE("the environment of a helper has what clouds need, and no secrets of ours") {
    const prebake::tests::Programs programs;
    const prebake::tests::Environment region("AWS_REGION", "eu-west-1");
    const prebake::tests::Environment secret("PREBAKE_SECRET", "SECRET");
    programs.add("docker-credential-test", "/usr/bin/env >" + programs.file("env").string() +
                                               R"(; echo '{"Username":"u","Secret":"p"}')");
    CredentialHelpers helpers;
    ask(helpers);
    const std::string environment = programs.read("env");
    CHECK(contains(environment, "AWS_REGION=eu-west-1\n"));
    CHECK(contains(environment, "PATH="));
    CHECK_FALSE(contains(environment, "SECRET"));
}

TEST_CASE("ECR's helper keeps no password on the disk") {
    const prebake::tests::Programs programs;
    for (const char* helper : {"ecr-login", "test"}) {
        programs.add("docker-credential-" + std::string(helper),
                     "/usr/bin/env >" + programs.file(helper).string() +
                         R"(; echo '{"Username":"u","Secret":"p"}')");
        CredentialHelpers helpers;
        ask(helpers, helper);
    }
    CHECK(contains(programs.read("ecr-login"), "AWS_ECR_DISABLE_CACHE=true\n"));
    CHECK_FALSE(contains(programs.read("test"), "AWS_ECR"));
}

TEST_CASE("an identity token") {
    const Credentials found = parse_helper_answer(R"({"Username":"<token>","Secret":"t"})");
    CHECK(found.username.empty());
    CHECK(found.password.empty());
    CHECK(found.identity_token == "t");
}

TEST_CASE("an answer has the names of its members in any case") {
    const Credentials found = parse_helper_answer(R"({"username":"u","secret":"p"})");
    CHECK(found.username == "u");
    CHECK(found.password == "p");
}

TEST_CASE("what is no answer is not quoted") {
    for (const char* const text :
         {"", "SECRET", R"(["SECRET"])", R"({"Secret":""})", R"({"Username":"SECRET"})"}) {
        CAPTURE(text);
        const Error error = thrown_by([&] { parse_helper_answer(text); });
        CHECK(error.code() == Errc::corrupt);
        CHECK_FALSE(contains(error.message(), "SECRET"));
    }
}

TEST_CASE("without a secret the note says why, and what to do") {
    const prebake::tests::Programs programs;
    programs.add("docker-credential-empty",
                 "echo 'credentials not found in native keychain'; exit 1");
    programs.add("docker-credential-broken", "echo noise >&2; echo 'no role'; exit 1");
    programs.add("docker-credential-odd", "echo SECRET");
    programs.add("docker-credential-leaks", R"(echo '{"Username":"u","Secret":"SECRET"}'; exit 1)");
    programs.add("docker-credential-leaks-lines",
                 R"(printf '{\n "Username": "u",\n "Secret": "SECRET"\n}\n'; exit 1)");
    programs.add("docker-credential-leaks-first",
                 R"(printf ' {"Secret":"SECRET"}\nSECRET\n'; echo 'no role' >&2; exit 1)");
    programs.add("docker-credential-leaks-text", R"(echo '"SECRET"'; exit 1)");
    programs.add("docker-credential-leaks-in-text", R"(echo 'got {"secret":"SECRET"}'; exit 1)");
    programs.add("docker-credential-silent", "exit 7");
    struct Row {
        const char* helper;
        const char* in_note;
    };
    CredentialHelpers helpers;
    for (const Row& row : {
             Row{"ecr-login-of-nobody", "is not in $PATH; install docker-credential-ecr-login-of"},
             Row{"empty", "docker-credential-empty, which /config.json names for a.io, has none"},
             Row{"broken", "failed: no role; try: echo a.io | docker-credential-broken get"},
             Row{"odd", "failed: its answer is not a JSON object"},
             Row{"leaks", "failed: it ended with status 1 and gave no reason; try: echo a.io"},
             Row{"leaks-lines", "failed: it ended with status 1 and gave no reason"},
             Row{"leaks-first", "failed: no role; try"},
             Row{"leaks-text", "failed: it ended with status 1 and gave no reason"},
             Row{"leaks-in-text", "failed: it ended with status 1 and gave no reason"},
             Row{"silent", "failed: it ended with status 7 and gave no reason"},
             Row{"../../bin/sh", "is no name of a program"},
             Row{"", "is no name of a program"},
         }) {
        CAPTURE(row.helper);
        const Credentials found = ask(helpers, row.helper);
        CHECK(found.anonymous());
        CHECK_MESSAGE(contains(found.note, row.in_note), found.note);
        CHECK_FALSE(contains(found.note, "SECRET"));
    }
}

TEST_CASE("a bake that is stopped does not wait for a helper") {
    const prebake::tests::Programs programs;
    programs.add("docker-credential-test", "sleep 600");
    std::stop_source source;
    source.request_stop();
    CredentialHelpers helpers;
    CHECK(thrown_by([&] { helpers.get("test", "f", kHelped, source.get_token()); }).code() ==
          Errc::cancelled);
}

}  // namespace
}  // namespace prebake::registry
