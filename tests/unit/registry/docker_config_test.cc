#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/registry/docker_config.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/registry/scripted_http.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::registry {
namespace {

namespace fs = std::filesystem;

class ConfigFile {
  public:
    explicit ConfigFile(std::string_view text) { std::ofstream(path()) << text; }

    fs::path path() const { return directory_ / "config.json"; }

  private:
    TemporaryDirectory directory_;
};

std::optional<Credentials> find(std::string_view config, std::string_view registry) {
    const ConfigFile file(config);
    return docker_config_credentials(file.path())->find(registry);
}

/// "user/password/identity token/registry token", or "none".
std::string found(std::string_view config, std::string_view registry) {
    const auto credentials = find(config, registry);
    if (!credentials) return "none";
    return credentials->username + "/" + credentials->password + "/" + credentials->identity_token +
           "/" + credentials->registry_token;
}

// "u:p" is dTpw, "u:p:q" is dTpwOnE=, "u:p\0\0" is dTpwAAA=.
TEST_CASE("auths entries are found by key, then by host and port") {
    struct Row {
        std::string name;
        const char* auths;
        const char* registry;
        const char* expected;
    };
    for (const Row& row : {
             Row{"exact", R"({"ghcr.io":{"auth":"dTpw"}})", "ghcr.io", "u/p//"},
             Row{"with a port", R"({"localhost:5000":{"auth":"dTpw"}})", "localhost:5000", "u/p//"},
             Row{"another port", R"({"localhost:5001":{"auth":"dTpw"}})", "localhost:5000", "none"},
             Row{"no port in the key", R"({"localhost":{"auth":"dTpw"}})", "localhost:5000",
                 "none"},
             Row{"a URL as key", R"({"https://ghcr.io/v2/":{"auth":"dTpw"}})", "ghcr.io", "u/p//"},
             Row{"a path in the key", R"({"ghcr.io/me":{"auth":"dTpw"}})", "ghcr.io", "u/p//"},
             Row{"exact wins over host",
                 R"({"https://a.io/x":{"auth":"dTpwOnE="},"a.io":{"auth":"dTpw"}})", "a.io",
                 "u/p//"},
             Row{"no suffix match", R"({"evil-ghcr.io":{"auth":"dTpw"}})", "ghcr.io", "none"},
             Row{"IPv6", R"({"[::1]:5000":{"auth":"dTpw"}})", "[::1]:5000", "u/p//"},
             Row{"Docker Hub", R"({"https://index.docker.io/v1/":{"auth":"dTpw"}})", "docker.io",
                 "u/p//"},
             Row{"Docker Hub without its path", R"({"index.docker.io":{"auth":"dTpw"}})",
                 "docker.io", "u/p//"},
             Row{"Docker Hub as podman has it", R"({"docker.io":{"auth":"dTpw"}})", "docker.io",
                 "u/p//"},
             Row{"the Hub's are for nobody else",
                 R"({"https://index.docker.io/v1/":{"auth":"dTpw"}})", "ghcr.io", "none"},
         }) {
        CAPTURE(row.name);
        CHECK(found(std::string(R"({"auths":)") + row.auths + "}", row.registry) == row.expected);
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
        CHECK(found(std::string(R"({"auths":{"a.io":)") + row.entry + "}}", "a.io") ==
              row.expected);
    }
}

TEST_CASE("a file without credentials is not an error") {
    CHECK(found("{}", "a.io") == "none");
    CHECK(found(R"({"auths":[]})", "a.io") == "none");
    CHECK(found(R"({"auths":{"a.io":"x"}})", "a.io") == "none");
    CHECK_FALSE(docker_config_credentials("/nonexistent/config.json")->find("a.io"));
}

TEST_CASE("credentials that others can change are refused") {
    const ConfigFile file(R"({"auths":{"r.example":{"auth":"dTpw"}}})");
    REQUIRE(::chmod(file.path().c_str(), 0666) == 0);
    const Error error =
        tests::thrown_by([&] { docker_config_credentials(file.path())->find("r.example"); });
    CHECK(error.code() == Errc::untrusted);
    CHECK(tests::contains(error.message(), file.path().string()));
    CHECK(tests::contains(error.message(), "mode 0666"));
    CHECK(error.next_step() == "run chmod go-w " + file.path().string());
}

TEST_CASE("a credential helper is not run, but mentioned") {
    struct Row {
        std::string name;
        const char* config;
        const char* helper;  ///< null: no note
    };
    for (const Row& row : {
             Row{"for this registry", R"({"credHelpers":{"a.io":"ecr-login"}})", "\"ecr-login\""},
             Row{"for another", R"({"credHelpers":{"b.io":"ecr-login"}})", nullptr},
             Row{"the store", R"({"credsStore":"desktop"})", "\"desktop\""},
             Row{"helper before store", R"({"credsStore":"x","credHelpers":{"a.io":"y"}})",
                 "\"y\""},
             Row{"an entry without a secret", R"({"auths":{"a.io":{}},"credsStore":"x"})", "\"x\""},
         }) {
        CAPTURE(row.name);
        const auto credentials = find(row.config, "a.io");
        REQUIRE(credentials.has_value() == (row.helper != nullptr));
        if (!credentials) continue;
        CHECK(credentials->anonymous());
        CHECK(contains(credentials->note, row.helper));
    }
    CHECK(found(R"({"auths":{"a.io":{"auth":"dTpw"}},"credsStore":"x"})", "a.io") == "u/p//");
}

TEST_CASE("a malformed file is named and not quoted") {
    struct Row {
        std::string name;
        std::string text;
        Errc code;
    };
    for (const Row& row : {
             Row{"not JSON", R"({"auths":{"a.io":{"auth":"SECRET)", Errc::usage},
             Row{"not an object", R"(["SECRET"])", Errc::usage},
             Row{"empty", "", Errc::usage},
             Row{"auth is not base64", R"({"auths":{"a.io":{"auth":"SECRET!"}}})", Errc::usage},
             Row{"auth without padding", R"({"auths":{"a.io":{"auth":"dTpwOnE"}}})", Errc::usage},
             Row{"auth without a colon", R"({"auths":{"a.io":{"auth":"dXA="}}})", Errc::usage},
             Row{"over a MiB", std::string((1U << 20) + 1, ' '), Errc::too_large},
         }) {
        CAPTURE(row.name);
        const ConfigFile file(row.text);
        const Error error = error_of([&] { docker_config_credentials(file.path())->find("a.io"); });
        CHECK(error.code() == row.code);
        CHECK(contains(error.message(), file.path().string()));
    }
}

class Environment {
  public:
    Environment(const char* name, const char* value) : name_(name) {
        if (const char* old = std::getenv(name)) old_ = old;
        set(value);
    }
    ~Environment() { set(old_ ? old_->c_str() : nullptr); }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

  private:
    void set(const char* value) {
        if (value != nullptr) {
            ::setenv(name_, value, 1);
        } else {
            ::unsetenv(name_);
        }
    }
    const char* name_;
    std::optional<std::string> old_;
};

TEST_CASE("the default file comes from DOCKER_CONFIG, else from HOME") {
    struct Row {
        const char* docker_config;
        const char* home;
        std::optional<fs::path> expected;
    };
    for (const Row& row :
         {Row{"/d", "/h", "/d/config.json"}, Row{nullptr, "/h", "/h/.docker/config.json"},
          Row{"", "/h", "/h/.docker/config.json"}, Row{nullptr, nullptr, {}}}) {
        const Environment docker_config("DOCKER_CONFIG", row.docker_config);
        const Environment home("HOME", row.home);
        CHECK(default_docker_config() == row.expected);
    }
}

}  // namespace
}  // namespace prebake::registry
