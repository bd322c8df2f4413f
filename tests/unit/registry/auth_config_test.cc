#include "agent/registry/auth_config.h"

#include <doctest/doctest.h>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"

namespace prebake::registry {
namespace {

using prebake::tests::contains;
using prebake::tests::thrown_by;

Repository repository(std::string_view name) {
    const std::size_t slash = name.find('/');
    return {.registry = std::string(name.substr(0, slash)),
            .path = std::string(name.substr(slash + 1))};
}

/// "user/password/identity token/registry token", or "none".
std::string found(const std::string& config, std::string_view name) {
    const auto credentials = AuthConfig(config, "the file").find(repository(name));
    if (!credentials) return "none";
    CHECK(credentials->source == "the file");
    return credentials->username + "/" + credentials->password + "/" + credentials->identity_token +
           "/" + credentials->registry_token;
}

// "u:p" is dTpw, "u:p:q" is dTpwOnE=, "u:p\0\0" is dTpwAAA=.
TEST_CASE("auths entries are found by host, port and path") {
    struct Row {
        std::string name;
        const char* auths;
        const char* repository;
        const char* expected;
    };
    for (const Row& row : {
             Row{"the host", R"({"ghcr.io":{"auth":"dTpw"}})", "ghcr.io/a", "u/p//"},
             Row{"its port", R"({"localhost:5000":{"auth":"dTpw"}})", "localhost:5000/a", "u/p//"},
             Row{"another port", R"({"localhost:5001":{"auth":"dTpw"}})", "localhost:5000/a",
                 "none"},
             Row{"no port in the key", R"({"localhost":{"auth":"dTpw"}})", "localhost:5000/a",
                 "none"},
             Row{"the port of https", R"({"https://ghcr.io:443":{"auth":"dTpw"}})", "ghcr.io/a",
                 "u/p//"},
             Row{"capitals", R"({"GHCR.io":{"auth":"dTpw"}})", "ghcr.io/a", "u/p//"},
             Row{"a URL with a version", R"({"https://ghcr.io/v2/":{"auth":"dTpw"}})", "ghcr.io/a",
                 "u/p//"},
             Row{"a URL with a version and a path", R"({"https://a.io/v2/team":{"auth":"dTpw"}})",
                 "a.io/team/app", "u/p//"},
             Row{"a version and a path", R"({"a.io/v1/team/":{"auth":"dTpw"}})", "a.io/team/app",
                 "u/p//"},
             Row{"a version and another's path", R"({"a.io/v1/team":{"auth":"dTpw"}})",
                 "a.io/other/app", "none"},
             Row{"one version only", R"({"a.io/v1/v2/team":{"auth":"dTpw"}})", "a.io/team/app",
                 "none"},
             Row{"what looks like a version", R"({"a.io/v1/team":{"auth":"dTpw"}})",
                 "a.io/v1/team/app", "u/p//"},
             Row{"a version is not specific",
                 R"({"a.io/v2/t":{"auth":"dTpw"},"a.io/t/app":{"auth":"dTpwOnE="}})", "a.io/t/app",
                 "u/p:q//"},
             Row{"a repository", R"({"ghcr.io/me/app":{"auth":"dTpw"}})", "ghcr.io/me/app",
                 "u/p//"},
             Row{"repositories below a path", R"({"ghcr.io/me":{"auth":"dTpw"}})",
                 "ghcr.io/me/app/web", "u/p//"},
             Row{"another's", R"({"ghcr.io/me":{"auth":"dTpw"}})", "ghcr.io/you/app", "none"},
             Row{"another's whose name begins alike", R"({"ghcr.io/me":{"auth":"dTpw"}})",
                 "ghcr.io/megan/app", "none"},
             Row{"the path of a URL", R"({"https://ghcr.io/me":{"auth":"dTpw"}})",
                 "ghcr.io/you/app", "none"},
             Row{"the longest path wins",
                 R"({"a.io":{"auth":"dTpw"},"a.io/t/app":{"auth":"dTpwOnE="},
                     "a.io/t":{"auth":"dTpw"}})",
                 "a.io/t/app", "u/p:q//"},
             Row{"the next one if that has no secret", R"({"a.io":{"auth":"dTpw"},"a.io/t":{}})",
                 "a.io/t/app", "u/p//"},
             Row{"no end of a host", R"({"evil-ghcr.io":{"auth":"dTpw"}})", "ghcr.io/a", "none"},
             Row{"IPv6", R"({"[::1]:5000":{"auth":"dTpw"}})", "[::1]:5000/a", "u/p//"},
             Row{"a pattern of the kubelet", R"({"*.dkr.ecr.*.amazonaws.com":{"auth":"dTpw"}})",
                 "1.dkr.ecr.eu-west-1.amazonaws.com/a", "u/p//"},
             Row{"a pattern is for as many labels", R"({"*.io":{"auth":"dTpw"}})", "a.b.io/a",
                 "none"},
             Row{"a pattern is for its port", R"({"*.io":{"auth":"dTpw"}})", "a.io:5000/a", "none"},
             Row{"one character", R"({"r?.a.io":{"auth":"dTpw"}})", "r1.a.io/a", "u/p//"},
             Row{"not one character", R"({"r?.a.io":{"auth":"dTpw"}})", "r.a.io/a", "none"},
             Row{"one of several", R"({"r[1-3].a.io:5000/t":{"auth":"dTpw"}})", "r2.a.io:5000/t",
                 "u/p//"},
             Row{"none of several", R"({"r[1-3].a.io":{"auth":"dTpw"}})", "r4.a.io/t", "none"},
             Row{"none of the others", R"({"r[^1-3].a.io":{"auth":"dTpw"}})", "r4.a.io/t", "u/p//"},
             Row{"a dot separates labels", R"({"r?a.io":{"auth":"dTpw"}})", "r.a.io/t", "none"},
             Row{"a host before a pattern with '?'",
                 R"({"?.io":{"auth":"dTpw"},"a.io":{"auth":"dTpwOnE="}})", "a.io/a", "u/p:q//"},
             Row{"one of several first", R"({"[ab].io":{"auth":"dTpw"}})", "b.io/a", "u/p//"},
             Row{"an address is no pattern", R"({"[::1]":{"auth":"dTpw"}})", "1/a", "none"},
             Row{"a host before a pattern",
                 R"({"*.io":{"auth":"dTpw"},"a.io":{"auth":"dTpwOnE="}})", "a.io/a", "u/p:q//"},
             Row{"Docker Hub", R"({"https://index.docker.io/v1/":{"auth":"dTpw"}})",
                 "docker.io/library/a", "u/p//"},
             Row{"Docker Hub without its path", R"({"index.docker.io":{"auth":"dTpw"}})",
                 "docker.io/library/a", "u/p//"},
             Row{"Docker Hub as podman has it", R"({"docker.io":{"auth":"dTpw"}})",
                 "docker.io/library/a", "u/p//"},
             Row{"the Hub's are for nobody else",
                 R"({"https://index.docker.io/v1/":{"auth":"dTpw"}})", "ghcr.io/a", "none"},
         }) {
        CAPTURE(row.name);
        CHECK(found(std::string(R"({"auths":)") + row.auths + "}", row.repository) == row.expected);
    }
}

TEST_CASE("an auths entry has credentials in several forms") {
    struct Row {
        std::string name;
        const char* entry;
        const char* expected;
    };
    for (const Row& row : {
             Row{"only the first colon splits", R"({"auth":"dTpwOnE="})", "u/p:q//"},
             Row{"wrapped by base64(1)", R"({"auth":"dTpw\nOnE=\n"})", "u/p:q//"},
             Row{"without padding", R"({"auth":"dTpwOnE"})", "u/p:q//"},
             Row{"NULs at the end", R"({"auth":"dTpwAAA="})", "u/p//"},
             Row{"plain fields", R"({"username":"u","password":"p"})", "u/p//"},
             Row{"auth before plain fields", R"({"auth":"dTpw","username":"x","password":"y"})",
                 "u/p//"},
             Row{"identity token without the user", R"({"auth":"dTpw","identitytoken":"i"})",
                 "/p/i/"},
             Row{"registry token", R"({"registrytoken":"r"})", "///r"},
             Row{"nothing in it", R"({})", "none"},
             Row{"an empty auth", R"({"auth":""})", "none"},
             Row{"wrong types", R"({"auth":1,"username":[],"password":null})", "none"},
         }) {
        CAPTURE(row.name);
        CHECK(found(std::string(R"({"auths":{"a.io":)") + row.entry + "}}", "a.io/a") ==
              row.expected);
    }
}

TEST_CASE("a .dockercfg has its entries at the root, and no other members of Docker's") {
    struct Row {
        std::string name;
        const char* text;
        const char* expected;
    };
    for (const Row& row : {
             Row{"auth", R"({"https://a.io/v1/":{"auth":"dTpw","email":"e"}})", "u/p//"},
             Row{"plain fields", R"({"a.io":{"username":"u","password":"p"}})", "u/p//"},
             Row{"with a path", R"({"a.io/t":{"auth":"dTpwOnE="},"a.io":{"auth":"dTpw"}})",
                 "u/p:q//"},
             Row{"for others", R"({"b.io":{"auth":"dTpw"}})", "none"},
             Row{"a value that is no entry", R"({"a.io":"dTpw","b.io":1})", "none"},
             Row{"beside auths", R"({"auths":{},"a.io":{"auth":"dTpw"}})", "none"},
             Row{"beside Auths that are null", R"({"Auths":null,"a.io":{"auth":"dTpw"}})", "none"},
             Row{"beside helpers", R"({"credHelpers":{},"a.io":{"auth":"dTpw"}})", "none"},
             Row{"beside a store", R"({"credsStore":"","a.io":{"auth":"dTpw"}})", "none"},
         }) {
        CAPTURE(row.name);
        CHECK(found(row.text, "a.io/t/app") == row.expected);
    }
}

TEST_CASE("members have their names in any case; the exact name comes first") {
    struct Row {
        std::string name;
        const char* text;
        const char* expected;
    };
    for (const Row& row : {
             Row{"Auths", R"({"Auths":{"a.io":{"Auth":"dTpw"}}})", "u/p//"},
             Row{"plain fields", R"({"AUTHS":{"a.io":{"Username":"u","Password":"p"}}})", "u/p//"},
             Row{"tokens", R"({"auths":{"a.io":{"IdentityToken":"i","RegistryToken":"r"}}})",
                 "//i/r"},
             Row{"both", R"({"auths":{"a.io":{"Auth":"dTpwOnE=","auth":"dTpw","AUTH":"x"}}})",
                 "u/p//"},
             Row{"several, of which none is exact",
                 R"({"auths":{"a.io":{"Auth":"dTpwOnE=","AUTH":"dTpw"}}})", "u/p//"},
         }) {
        CAPTURE(row.name);
        CHECK(found(row.text, "a.io/t/app") == row.expected);
    }
    const AuthConfig config(R"({"CredHelpers":{"a.io":"ecr-login"},"CREDSSTORE":"pass"})", "f");
    CHECK(config.helper_for(repository("a.io/a")) == "ecr-login");
    CHECK(config.default_helper() == "pass");
}

TEST_CASE("a document without credentials is no error") {
    CHECK(found("{}", "a.io/a") == "none");
    CHECK(found(R"({"auths":[]})", "a.io/a") == "none");
    CHECK(found(R"({"auths":{"a.io":"x"}})", "a.io/a") == "none");
}

TEST_CASE("helpers are named for a registry, or for all") {
    const AuthConfig config(
        R"({"credHelpers":{"a.io":"ecr-login","https://index.docker.io/v1/":"hub"},
            "credsStore":"desktop"})",
        "the file");
    CHECK(config.helper_for(repository("a.io/a")) == "ecr-login");
    CHECK(config.helper_for(repository("docker.io/library/a")) == "hub");
    CHECK(config.helper_for(repository("b.io/a")).empty());
    CHECK(config.default_helper() == "desktop");
}

TEST_CASE("a malformed document is named and not quoted") {
    struct Row {
        std::string name;
        std::string text;
    };
    for (const Row& row : {
             Row{"not JSON", R"({"auths":{"a.io":{"auth":"SECRET)"},
             Row{"not an object", R"(["SECRET"])"},
             Row{"empty", ""},
             Row{"auth is not base64", R"({"auths":{"a.io":{"auth":"SECRET!"}}})"},
             Row{"auth without a colon", R"({"auths":{"a.io":{"auth":"dXA="}}})"},
         }) {
        CAPTURE(row.name);
        const Error error =
            thrown_by([&] { AuthConfig(row.text, "the file").find(repository("a.io/a")); });
        CHECK(error.code() == Errc::usage);
        CHECK(contains(error.message(), "the file"));
        CHECK_FALSE(contains(error.message(), "SECRET"));
    }
}

}  // namespace
}  // namespace prebake::registry
