#include "agent/registry/kubelet_provider.h"

#include <doctest/doctest.h>

#include <fstream>

#include "tests/unit/base/thrown.h"
#include "tests/unit/registry/programs.h"

namespace prebake::registry {
namespace {

using prebake::tests::contains;
using prebake::tests::thrown_by;
using std::chrono::minutes;

const Repository kProvided{.registry = "a.io", .path = "team/app"};

std::string config_with(const std::string& more = {}) {
    return R"({"kind":"CredentialProviderConfig","apiVersion":"kubelet.config.k8s.io/v1",
               "providers":[{"name":"provider","matchImages":["a.io","*.b.io:5000/team"],
               "defaultCacheDuration":"10m","apiVersion":"credentialprovider.kubelet.k8s.io/v1")" +
           more + "}]}";
}

std::string answer(const std::string& auth, const std::string& more = R"("cacheKeyType":"Image")") {
    return R"({"kind":"CredentialProviderResponse",)"
           R"("apiVersion":"credentialprovider.kubelet.k8s.io/v1","auth":)" +
           auth + "," + more + "}";
}

/// A provider whose answer the test chooses, and the requests that it got.
struct Machine {
    explicit Machine(const std::string& config = config_with()) {
        std::ofstream(programs.file("config.json")) << config;
        providers.emplace(programs.file("config.json"), programs.file("."), run_command,
                          [this] { return now; });
        programs.add("provider", "cat >>" + programs.file("asked").string() + "; echo >>" +
                                     programs.file("asked").string() + "; cat " +
                                     programs.file("answer").string());
    }
    void answers(const std::string& text) const { std::ofstream(programs.file("answer")) << text; }
    std::string find(const Repository& repository = kProvided) {
        const auto found = providers->find(repository, {});
        if (!found) return "nothing";
        return found->anonymous() ? found->note : found->username + ":" + found->password;
    }
    int requests() const {
        const std::string asked = programs.read("asked");
        return static_cast<int>(std::count(asked.begin(), asked.end(), '\n'));
    }

    prebake::tests::Programs programs;
    Moment now;
    std::optional<KubeletProviders> providers;
};

TEST_CASE("a provider is asked for the images that it is for, by name without a tag") {
    Machine machine;
    machine.answers(answer(R"({"a.io":{"username":"u","password":"p"}})"));
    CHECK(machine.find() == "u:p");
    CHECK(machine.programs.read("asked") ==
          "{\"kind\":\"CredentialProviderRequest\","
          "\"apiVersion\":\"credentialprovider.kubelet.k8s.io/v1\",\"image\":\"a.io/team/app\"}\n");
    CHECK(machine.find({.registry = "c.io", .path = "app"}) == "nothing");
    CHECK(machine.requests() == 1);
}

TEST_CASE("an answer is kept for the image, the registry, or everything, as long as it says") {
    struct Row {
        const char* more;
        int after_another_image;
        int after_six_minutes;
    };
    for (const Row& row : {
             Row{R"("cacheKeyType":"Image","cacheDuration":"5m0s")", 2, 3},
             Row{R"("cacheKeyType":"Registry","cacheDuration":"5m0s")", 1, 2},
             Row{R"("cacheKeyType":"Global","cacheDuration":"1h")", 1, 1},
             Row{R"("cacheKeyType":"Registry","cacheDuration":"0s")", 2, 3},
             Row{R"("cacheKeyType":"Registry")", 1, 1},
         }) {
        CAPTURE(row.more);
        Machine machine;
        machine.answers(answer(R"({"a.io":{"username":"u","password":"p"}})", row.more));
        machine.find();
        machine.find({.registry = "a.io", .path = "other"});
        CHECK(machine.requests() == row.after_another_image);
        machine.now.steady += minutes(6);
        CHECK(machine.find() == "u:p");
        CHECK(machine.requests() == row.after_six_minutes);
    }
}

TEST_CASE("a failure is kept for the image, for a while") {
    Machine machine;
    machine.answers("no answer");
    for (int i = 0; i < 3; ++i) CHECK(contains(machine.find(), "is no CredentialProviderResponse"));
    CHECK(machine.requests() == 1);
    machine.answers(answer(R"({"a.io":{"username":"u","password":"p"}})"));
    CHECK(machine.find({.registry = "a.io", .path = "other"}) == "u:p");
    CHECK(contains(machine.find(), "is no CredentialProviderResponse"));
    CHECK(machine.requests() == 2);
    machine.now.steady += minutes(6);
    CHECK(machine.find() == "u:p");
    CHECK(machine.requests() == 3);
}

TEST_CASE("an answer for the whole registry replaces the failure for an image") {
    Machine machine;
    machine.answers("no answer");
    machine.find();
    machine.answers(
        answer(R"({"a.io":{"username":"u","password":"p"}})", R"("cacheKeyType":"Registry")"));
    machine.find({.registry = "a.io", .path = "other"});
    CHECK(machine.find() == "u:p");
    CHECK(machine.requests() == 2);
}

TEST_CASE("of the keys of an answer the longest path wins, and another's is not used") {
    Machine machine;
    machine.answers(answer(R"({"a.io":{"username":"all","password":"p"},
                               "a.io/team":{"username":"team","password":"p"},
                               "a.io/team/b":{"username":"b","password":"p"}})"));
    CHECK(machine.find() == "team:p");
    machine.now.steady += minutes(20);
    machine.answers(answer(R"({"other.io":{"username":"u","password":"p"}})"));
    CHECK(contains(machine.find(), "has none"));
}

TEST_CASE("a provider that fails is named, and its answer is not quoted") {
    struct Row {
        std::string answer;
        const char* in_note;
    };
    for (const Row& row : {
             Row{"SECRET", "is no CredentialProviderResponse"},
             Row{R"({"kind":"CredentialProviderResponse","apiVersion":"v9","auth":{}})",
                 "is no CredentialProviderResponse of credentialprovider.kubelet.k8s.io/v1"},
             Row{answer("null"), "has none"},
         }) {
        CAPTURE(row.answer);
        Machine machine;
        machine.answers(row.answer);
        const std::string note = machine.find();
        CHECK_MESSAGE(contains(note, row.in_note), note);
        CHECK(contains(note, "the credential provider provider of "));
        CHECK_FALSE(contains(note, "SECRET"));
    }
    Machine gone;
    gone.programs.add("provider", "echo 'no role' >&2; exit 1");
    CHECK(contains(gone.find(), "failed: no role"));
    Machine leaks;
    leaks.programs.add("provider", R"(echo '{"auth":{"a.io":{"password":"SECRET"}}}'; exit 1)");
    CHECK(contains(leaks.find(), "failed: it ended with status 1 and gave no reason"));
}

TEST_CASE("a provider gets its arguments and variables; one for pods only is not run") {
    Machine machine(config_with(R"(,"args":["--x","y"],"env":[{"name":"PROFILE","value":"me"}])"));
    machine.programs.add(
        "provider", "echo \"$* $PROFILE\" >" + machine.programs.file("seen").string() + "; exit 1");
    machine.find();
    CHECK(machine.programs.read("seen") == "--x y me\n");
    Machine for_pods(config_with(R"(,"tokenAttributes":{"requireServiceAccount":true})"));
    CHECK(contains(for_pods.find(), "works only for pods"));
    CHECK(for_pods.requests() == 0);
}

TEST_CASE("patterns of images") {
    struct Row {
        const char* pattern;
        Repository repository;
        bool expected;
    };
    for (const Row& row : {
             Row{"a.io", kProvided, true},
             Row{"https://a.io", kProvided, true},
             Row{"*.io", kProvided, true},
             Row{"*", kProvided, false},
             Row{"a.io/team", kProvided, true},
             Row{"a.io/te", kProvided, true},
             Row{"a.io/other", kProvided, false},
             Row{"a.io:5000", kProvided, false},
             Row{"a.io", {.registry = "a.io:5000", .path = "app"}, false},
             Row{"?.io/team", kProvided, true},
             Row{"??.io", kProvided, false},
             Row{"[a-c].io", kProvided, true},
             Row{"[b-c].io", kProvided, false},
             Row{"reg[ab].io:5000", {.registry = "rega.io:5000", .path = "app"}, true},
             Row{"reg[ab].io", {.registry = "regc.io", .path = "app"}, false},
             Row{"*.dkr.ecr.*.amazonaws.com",
                 {.registry = "1.dkr.ecr.eu-west-1.amazonaws.com", .path = "app"},
                 true},
             Row{"*.dkr.ecr.*.amazonaws.com",
                 {.registry = "1.dkr.ecr.eu-west-1.amazonaws.com.cn", .path = "app"},
                 false},
         }) {
        CAPTURE(row.pattern);
        CAPTURE(row.repository.name());
        CHECK(matches_image(row.pattern, row.repository) == row.expected);
    }
}

TEST_CASE("a configuration that cannot be used is named") {
    struct Row {
        std::string name;
        std::string text;
    };
    const std::string good = config_with();
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string text = good;
        return text.replace(text.find(from), from.size(), to);
    };
    CHECK(parse_provider_config(good, "f").size() == 1);
    for (const Row& row : {
             Row{"not JSON", "providers:"},
             Row{"another kind", with("CredentialProviderConfig", "KubeletConfiguration")},
             Row{"a path as name", with("\"provider\"", "\"../provider\"")},
             Row{"no duration", with("10m", "soon")},
             Row{"another version", with("credentialprovider.kubelet", "other.kubelet")},
         }) {
        CAPTURE(row.name);
        const Error error = thrown_by([&] { parse_provider_config(row.text, "the file"); });
        CHECK(error.code() == Errc::usage);
        CHECK(contains(error.message(), "the file"));
    }
}

}  // namespace
}  // namespace prebake::registry
