#include "agent/registry/credential_chain.h"

#include <doctest/doctest.h>

#include <fstream>
#include <map>

#include "agent/registry/cloud_credentials.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/programs.h"

namespace prebake::registry {
namespace {

namespace fs = std::filesystem;
using prebake::tests::contains;
using prebake::tests::thrown_by;

const Repository kApp{.registry = "a.io", .path = "team/app"};
const Repository kEcr{.registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com", .path = "app"};

std::string entry(const std::string& user) {
    return R"({"auths":{"a.io":{"username":")" + user + R"(","password":"p"}}})";
}

std::string user_of(CredentialSource& source, const Repository& repository = kApp) {
    const auto found = source.find(repository, {});
    if (!found) return "nothing";
    return found->anonymous() ? found->note : found->username;
}

/// A home with files, and variables.
struct Home {
    void write(const std::string& name, const std::string& text) const {
        fs::create_directories((directory / name).parent_path());
        std::ofstream(directory / name) << text;
    }
    std::shared_ptr<CredentialSource> sources(CredentialPlaces places = {}) {
        places.root = directory / "root";
        return all_credentials(
            places,
            [this](const char* name) {
                const auto found = variables.find(name);
                return found == variables.end() ? std::string() : found->second;
            },
            [this](const std::string& text) { explained.push_back(text); });
    }

    TemporaryDirectory directory;
    std::map<std::string, std::string> variables{{"HOME", directory.path().string()}};
    std::vector<std::string> explained;
};

TEST_CASE("the places of credentials have an order") {
    Home home;
    CHECK(user_of(*home.sources()) == "nothing");
    const auto expect = [&](const std::string& user, const CredentialPlaces& places = {}) {
        CHECK(user_of(*home.sources(places)) == user);
    };
    home.write(".config/containers/auth.json", entry("config"));
    expect("config");
    home.variables["XDG_RUNTIME_DIR"] = (home.directory / "run").string();
    home.write("run/containers/auth.json", entry("run"));
    expect("run");
    home.write(".docker/config.json", entry("docker"));
    expect("docker");
    home.variables["DOCKER_CONFIG"] = (home.directory / "d").string();
    home.write("d/config.json", entry("directory"));
    expect("directory");
    home.write("configured.json", entry("configured"));
    const fs::path configured = home.directory / "configured.json";
    expect("configured",
           {.given = {}, .auth_file = {}, .docker_config = configured, .providers = {}});
    home.variables["DOCKER_AUTH_CONFIG"] = entry("variable");
    expect("variable");
    home.write("registry.json", entry("registry"));
    home.variables["REGISTRY_AUTH_FILE"] = (home.directory / "registry.json").string();
    expect("registry");
    home.write("given.json", entry("authfile"));
    expect("authfile", {.given = {},
                        .auth_file = home.directory / "given.json",
                        .docker_config = {},
                        .providers = {}});
    expect("input",
           {.given = entry("input"), .auth_file = {}, .docker_config = {}, .providers = {}});
}

TEST_CASE("a place without an entry does not hide the next") {
    Home home;
    home.write(".docker/config.json", entry("docker"));
    home.variables["DOCKER_AUTH_CONFIG"] = R"({"auths":{"b.io":{"auth":"dTpw"}}})";
    const auto sources = home.sources();
    CHECK(user_of(*sources) == "docker");
    CHECK(user_of(*sources) == "docker");
    const std::string file = (home.directory / ".docker/config.json").string();
    CHECK(home.explained == std::vector<std::string>{"a.io/team/app: credentials from " + file});
}

TEST_CASE("a file that is named must exist") {
    Home home;
    home.variables["REGISTRY_AUTH_FILE"] = "/nonexistent/auth.json";
    const Error error = thrown_by([&] { home.sources(); });
    CHECK(error.code() == Errc::not_found);
    CHECK(contains(error.message(), "/nonexistent/auth.json, which REGISTRY_AUTH_FILE names"));
}

TEST_CASE("credentials that others can change are refused") {
    Home home;
    home.write(".docker/config.json", entry("docker"));
    const fs::path file = home.directory / ".docker/config.json";
    REQUIRE(::chmod(file.c_str(), 0666U) == 0);
    const Error error = thrown_by([&] { user_of(*home.sources()); });
    CHECK(error.code() == Errc::untrusted);
    CHECK(contains(error.message(), file.string()));
    CHECK(contains(error.message(), "mode 0666"));
    CHECK(error.next_step() == "run chmod go-w " + file.string());
}

TEST_CASE("a helper for the registry comes before the file's own entry, one for all after it") {
    const prebake::tests::Programs programs;
    programs.add("docker-credential-test", R"(echo '{"Username":"helper","Secret":"p"}')");
    struct Row {
        const char* name;
        std::string config;
        const char* expected;
    };
    for (const Row& row : {
             Row{"for it", R"({"credHelpers":{"a.io":"test"},"auths":{"a.io":{"auth":"dTpw"}}})",
                 "helper"},
             Row{"for another",
                 R"({"credHelpers":{"b.io":"test"},"auths":{"a.io":{"auth":"dTpw"}}})", "u"},
             Row{"for all", R"({"credsStore":"test","auths":{"a.io":{"auth":"dTpw"}}})", "u"},
             Row{"for all, without an entry", R"({"credsStore":"test","auths":{"a.io":{}}})",
                 "helper"},
             Row{"one that fails",
                 R"({"credHelpers":{"a.io":"absent"},"auths":{"a.io":{"auth":"dTpw"}}})", "u"},
         }) {
        CAPTURE(row.name);
        Home home;
        home.write(".docker/config.json", row.config);
        CHECK(user_of(*home.sources()) == row.expected);
    }
    Home home;
    home.write(".docker/config.json", R"({"credHelpers":{"a.io":"absent"}})");
    CHECK(contains(user_of(*home.sources()), "docker-credential-absent, which "));
}

const std::string kProvider = R"(kind: CredentialProviderConfig
apiVersion: kubelet.config.k8s.io/v1
providers:
- name: test-provider
  matchImages: ["a.io"]
  defaultCacheDuration: 12h
  apiVersion: credentialprovider.kubelet.k8s.io/v1
)";
const std::string kAnswer = R"(echo '{"kind":"CredentialProviderResponse",)"
                            R"("apiVersion":"credentialprovider.kubelet.k8s.io/v1",)"
                            R"("auth":{"a.io":{"username":"provider","password":"p"}}}')";

TEST_CASE("providers of the kubelet: those that are named, else those of this machine") {
    const prebake::tests::Programs programs;
    programs.add("test-provider", kAnswer);
    Home home;
    home.write("named.yaml", kProvider);
    const ProviderPlaces named{.config = home.directory / "named.yaml",
                               .programs = programs.file("test-provider").parent_path()};
    SUBCASE("named") {
        CHECK(user_of(*home.sources({.providers = named})) == "provider");
    }
    SUBCASE("in a directory of configurations") {
        home.write("configs/1.json", R"({"kind":"CredentialProviderConfig","providers":[]})");
        home.write("configs/2.yaml", kProvider);
        home.write("configs/README", "");
        ProviderPlaces places = named;
        places.config = home.directory / "configs";
        CHECK(user_of(*home.sources({.providers = places})) == "provider");
    }
    SUBCASE("one without the other is an error") {
        for (const ProviderPlaces& half :
             {ProviderPlaces{.config = named.config, .programs = {}},
              ProviderPlaces{.config = {}, .programs = named.programs}}) {
            const Error error = thrown_by([&] { home.sources({.providers = half}); });
            CHECK(error.code() == Errc::usage);
            CHECK(contains(error.next_step(), "--image-credential-provider-bin-dir"));
        }
    }
    SUBCASE("a named one that cannot be read is an error") {
        home.write("named.yaml", "kind: [");
        CHECK(thrown_by([&] { home.sources({.providers = named}); }).code() == Errc::usage);
    }
    SUBCASE("one that was found and cannot be read is left out, and explained") {
        const std::string usual = "root/var/lib/rancher/credentialprovider/config.yaml";
        home.write(usual, "kind: [");
        CHECK(user_of(*home.sources()) == "nothing");
        CHECK(contains(home.explained.front(), "no credentials from providers of the kubelet: "));
        CHECK(contains(home.explained.front(), usual));
    }
    SUBCASE("found") {
        home.write("root/var/lib/rancher/credentialprovider/config.yaml", kProvider);
        const auto program = home.directory / "root/var/lib/rancher/credentialprovider/bin";
        fs::create_directories(program);
        fs::copy_file(programs.file("test-provider"), program / "test-provider");
        CHECK(user_of(*home.sources()) == "provider");
    }
}

/// What was found instead of credentials that were refused, and after that.
std::string others(CredentialSource& source, const Repository& repository = kEcr) {
    std::string users;
    auto found = source.find(repository, {});
    while (found && !found->anonymous()) {
        users += found->username + " ";
        const auto other = source.find_other(repository, *found, {});
        if (!other) break;
        found = source.find(repository, {});
        CHECK(found->username == other->username);
    }
    return users + "then " + user_of(source, repository);
}

TEST_CASE("credentials that a cloud refuses are replaced by those of the next source") {
    using enum CredentialChain::AfterRefusal;
    const auto source = [](const char* name) { return FixedCredentials::from(name, name); };
    Credentials noted;
    noted.note = "no role";
    const CredentialChain::Link without{.source = FixedCredentials::of(noted)};
    class Broken : public CredentialSource {
        std::optional<Credentials> find(const Repository&, const std::stop_token&) override {
            throw Error(Errc::usage, "it is not a JSON object");
        }
    };
    const CredentialChain::Link broken{.source = std::make_shared<Broken>()};
    struct Row {
        std::string name;
        std::vector<CredentialChain::Link> links;
        Repository repository;
        std::string expected;
    };
    for (const Row& row : {
             Row{"in their order",
                 {{source("a")}, {source("b")}, {source("c")}},
                 kEcr,
                 "a b c then a"},
             Row{"only of clouds", {{source("a")}, {source("b")}}, kApp, "a then a"},
             Row{"none that the user named",
                 {{source("a"), stop}, {source("b")}},
                 kEcr,
                 "a then a"},
             Row{"up to one that the user named",
                 {{source("a")}, {source("b"), stop}, {source("c")}},
                 kEcr,
                 "a b then a"},
             Row{"one with the same name is the same",
                 {{source("a")}, {source("a")}, {source("b")}},
                 kEcr,
                 "a b then a"},
             Row{"sources without any are left out",
                 {{source("a")}, without, {source("b")}},
                 kEcr,
                 "a b then a"},
             Row{"and those that cannot be read", {{source("a")}, broken}, kEcr, "a then a"},
         }) {
        CAPTURE(row.name);
        CredentialChain chain(row.links, {});
        CHECK(others(chain, row.repository) == row.expected);
    }
    std::vector<std::string> explained;
    CredentialChain chain({{source("a")}, {source("b")}},
                          [&](const std::string& text) { explained.push_back(text); });
    CHECK(others(chain) == "a b then a");
    CHECK(user_of(chain, {.registry = kEcr.registry, .path = "other"}) == "a");
    CHECK(explained ==
          std::vector<std::string>{kEcr.name() + ": credentials from a",
                                   kEcr.name() + ": the registry refuses the credentials from a",
                                   kEcr.name() + ": credentials from b",
                                   kEcr.name() + ": the registry refuses the credentials from b",
                                   kEcr.registry + "/other: credentials from a"});
}

TEST_CASE("--authfile and providers that are named are not replaced, other places are") {
    const prebake::tests::Programs programs;
    programs.add("docker-credential-ecr-login", R"(echo '{"Username":"helper","Secret":"p"}')");
    programs.add("test-provider",
                 std::string(kAnswer).replace(kAnswer.find("a.io"), 4, kEcr.registry));
    Home home;
    home.write("named.yaml",
               std::string(kProvider).replace(kProvider.find("a.io"), 4, kEcr.registry));
    const ProviderPlaces named{.config = home.directory / "named.yaml",
                               .programs = programs.file("test-provider").parent_path()};
    const std::string login =
        R"({"auths":{")" + kEcr.registry + R"(":{"username":"login","password":"p"}}})";
    home.write(".docker/config.json", login);
    home.write("given.json", login);
    CHECK(others(*home.sources()) == "login helper then login");
    CHECK(others(*home.sources({.providers = named})) == "login provider then login");
    CHECK(others(*home.sources({.given = login})) == "login then login");
    CHECK(others(*home.sources({.auth_file = home.directory / "given.json"})) ==
          "login then login");
}

TEST_CASE("ECR without configuration: the helper, else the AWS CLI in the registry's region") {
    const prebake::tests::Programs programs;
    Home home;
    const auto sources = home.sources();
    programs.add("aws", "echo \"$*\" >" + programs.file("asked").string() + "; echo password");
    const auto found = sources->find(kEcr, {});
    REQUIRE(found.has_value());
    CHECK(found->username == "AWS");
    CHECK(found->password == "password");
    CHECK(programs.read("asked") == "ecr get-login-password --region eu-west-1\n");
    CHECK(home.explained.back() == kEcr.name() +
                                       ": credentials from aws ecr get-login-password --region "
                                       "eu-west-1");
    programs.add("docker-credential-ecr-login", R"(echo '{"Username":"AWS","Secret":"helper"}')");
    CHECK(home.sources()->find(kEcr, {})->password == "helper");
    CHECK(user_of(*home.sources()) == "nothing");
}

TEST_CASE("ECR without a role: what to install, and what the role needs") {
    Home home;
    SUBCASE("no program gets credentials") {
        const prebake::tests::Environment path("PATH", "/nonexistent");
        const std::string note = user_of(*home.sources(), kEcr);
        CHECK(note.starts_with("put docker-credential-ecr-login"));
        CHECK(contains(note, "ecr:GetAuthorizationToken"));
    }
    SUBCASE("one that is there fails") {
        const prebake::tests::Programs programs;
        programs.add("aws", "echo 'Unable to locate credentials' >&2; exit 253");
        const std::string note = user_of(*home.sources(), kEcr);
        CHECK(contains(note,
                       "aws ecr get-login-password --region eu-west-1 failed: Unable to locate"));
        CHECK(contains(note, "; allow the role of this instance ecr:GetAuthorizationToken"));
    }
    SUBCASE("one that is there fails after it printed its answer") {
        const prebake::tests::Programs programs;
        programs.add("aws", "echo SECRET; exit 1");
        const std::string note = user_of(*home.sources(), kEcr);
        CHECK(contains(note, "failed: it ended with status 1 and gave no reason"));
        CHECK_FALSE(contains(note, "SECRET"));
    }
}

TEST_CASE("the AWS CLI runs once for several repositories, also if it fails") {
    struct Row {
        std::string script;
        const char* expected;
        int after_six_minutes;
        int after_an_hour;
    };
    for (const Row& row : {
             Row{"echo 'Unable to locate credentials' >&2; exit 253",
                 "failed: Unable to locate credentials", 2, 3},
             Row{"echo", "printed no password", 2, 3},
             Row{"echo password", "AWS", 1, 2},
         }) {
        CAPTURE(row.script);
        const prebake::tests::Programs programs;
        programs.add("aws", "echo run >>" + programs.file("runs").string() + "; " + row.script);
        Moment now;
        CloudCredentials source(std::make_shared<CredentialHelpers>(), {}, run_command,
                                [&] { return now; });
        const auto runs = [&] {
            return programs.read("runs").size() / std::string("run\n").size();
        };
        for (const char* const image : {"a", "b", "c", "d", "e", "f"}) {
            const Repository repository{.registry = "public.ecr.aws", .path = image};
            for (int i = 0; i < 3; ++i) CHECK(contains(user_of(source, repository), row.expected));
        }
        CHECK(runs() == 1);
        for (const auto& [minutes, expected] :
             {std::pair{6, row.after_six_minutes}, {60, row.after_an_hour}}) {
            now.steady += std::chrono::minutes(minutes);
            user_of(source, {.registry = "public.ecr.aws", .path = "a"});
            CHECK(runs() == static_cast<std::size_t>(expected));
        }
    }
}

TEST_CASE("the advice names the package of the distribution") {
    struct Row {
        std::string os_release;
        std::string expected;
    };
    for (const Row& row : {
             Row{"ID=debian\n", "run apt-get install amazon-ecr-credential-helper"},
             Row{"NAME=x\nID=ubuntu\nID_LIKE=debian\n",
                 "run apt-get install amazon-ecr-credential-helper"},
             Row{"ID=\"amzn\"\nID_LIKE=\"fedora\"", "run dnf install amazon-ecr-credential-helper"},
             Row{"ID=\"rhel\"\nID_LIKE=\"fedora\"\n", "put docker-credential-ecr-login"},
             Row{"PRETTY_NAME=\"debian \"\nID=debianish\n", "put docker-credential-ecr-login"},
             Row{"", "put docker-credential-ecr-login"},
         }) {
        CAPTURE(row.os_release);
        for (const Cloud cloud : {Cloud::ecr, Cloud::ecr_public}) {
            CHECK(advice_for(cloud, row.os_release).install.starts_with(row.expected));
        }
    }
    CHECK(contains(advice_for(Cloud::google, "").allow, "artifactregistry.reader"));
    CHECK(contains(advice_for(Cloud::azure, "").allow, "AcrPull"));
    CHECK(advice_for(Cloud::none, "ID=debian").install.empty());
}

TEST_CASE("programs that know credentials get the variables for them") {
    const prebake::tests::Programs programs;
    programs.add("docker-credential-proxied",
                 R"(echo "{\"Username\":\"$HTTPS_PROXY\",\"Secret\":\"s\"}")");
    const prebake::tests::Environment inherited("HTTPS_PROXY", "http://inherited:1");
    Home home;
    home.write(".docker/config.json", R"({"credHelpers":{"a.io":"proxied"}})");
    CHECK(user_of(*home.sources()) == "http://inherited:1");
    CHECK(user_of(*home.sources({.program_variables = {{"HTTPS_PROXY", "http://configured:1"}}})) ==
          "http://configured:1");
}

}  // namespace
}  // namespace prebake::registry
