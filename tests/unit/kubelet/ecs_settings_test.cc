#include "agent/kubelet/ecs_settings.h"

#include <doctest/doctest.h>

namespace prebake::kubelet::ecs_settings_test {
namespace {

using Texts = std::vector<std::string>;
using Behavior = EcsPullBehavior;

constexpr const char* kFile = "/etc/ecs/ecs.config";

EcsSettings read(const std::string& text, std::optional<std::string> json, Texts& warnings) {
    std::optional<EcsFile> document;
    if (json) document = EcsFile{"/etc/ecs/ecs.config.json", *json};
    return read_ecs_settings({{kFile, text}}, document, warnings);
}

EcsSettings read(const std::string& text) {
    Texts warnings;
    return read(text, std::nullopt, warnings);
}

TEST_CASE("ecs-init takes lines as they are written") {
    struct Row {
        const char* name;
        std::string text;
        Texts variables;  // "line key value"
    };
    for (const Row& row : {
             Row{"nothing", "", {}},
             Row{"plain", "A=1\nB=2\n", {"1 A 1", "2 B 2"}},
             Row{"no end of the last line", "A=1", {"1 A 1"}},
             Row{"blank lines and spaces around a line", "\n\n  A=1 \n", {"3 A 1"}},
             Row{"ends of lines of Windows", "A=1\r\nB=2\r\n", {"1 A 1", "2 B 2"}},
             Row{"only the first = counts", "A=b=c\n", {"1 A b=c"}},
             Row{"quotes stay", "A=\"1\"\nB='2'\n", {"1 A \"1\"", "2 B '2'"}},
             Row{"a comment is a variable with an odd name",
                 "# A=1\n#A=1\n",
                 {"1 # A 1", "2 #A 1"}},
             Row{"spaces at the = belong to it", "A = 1\n", {"1 A   1"}},
             Row{"export, too", "export A=1\n", {"1 export A 1"}},
             Row{"no =", "# comment\nnothing\n", {}},
             Row{"empty", "A=\n", {"1 A "}},
         }) {
        CAPTURE(row.name);
        Texts found;
        for (const EcsVariable& variable : parse_ecs_variables({kFile, row.text})) {
            CHECK(variable.file == kFile);
            found.push_back(std::to_string(variable.line) + " " + variable.key + " " +
                            variable.value);
        }
        CHECK(found == row.variables);
    }
}

TEST_CASE("the pull behavior") {
    struct Row {
        const char* name;
        std::string text;
        Behavior expected;
        std::size_t line;  // 0: no place
    };
    const std::string key = "ECS_IMAGE_PULL_BEHAVIOR";
    for (const Row& row : {
             Row{"not set", "ECS_CLUSTER=web\n", Behavior::by_default, 0},
             Row{"prefer-cached", key + "=prefer-cached\n", Behavior::prefer_cached, 1},
             Row{"once", key + "=once\n", Behavior::once, 1},
             Row{"always", key + "=always\n", Behavior::always, 1},
             Row{"default", key + "=default\n", Behavior::by_default, 1},
             Row{"in quotes", key + "=\"prefer-cached\"\n", Behavior::by_default, 1},
             Row{"upper case", key + "=PREFER-CACHED\n", Behavior::by_default, 1},
             Row{"a space", key + "= prefer-cached\n", Behavior::by_default, 1},
             Row{"a space at the end", key + "=prefer-cached \n", Behavior::prefer_cached, 1},
             Row{"the last one wins", key + "=prefer-cached\nA=1\n" + key + "=once\n",
                 Behavior::once, 3},
             Row{"empty wins, too", key + "=prefer-cached\n" + key + "=\n", Behavior::by_default,
                 2},
             Row{"in a comment", "#" + key + "=prefer-cached\n", Behavior::by_default, 0},
         }) {
        CAPTURE(row.name);
        const EcsSettings settings = read(row.text);
        CHECK(settings.pull_behavior == row.expected);
        const auto place = settings.places.find(key);
        REQUIRE((place != settings.places.end()) == (row.line > 0));
        if (row.line > 0) CHECK(place->second.line == row.line);
        CHECK(settings.misspelt.empty());
    }
}

TEST_CASE("lines that are meant to set something") {
    for (const char* text : {"export ECS_IMAGE_PULL_BEHAVIOR=prefer-cached\n",
                             "ECS_IMAGE_PULL_BEHAVIOR = prefer-cached\n"}) {
        CAPTURE(text);
        const EcsSettings settings = read(text);
        CHECK(settings.pull_behavior == Behavior::by_default);
        CHECK(settings.places.empty());
        CHECK(settings.misspelt.contains(kEcsPullBehavior));
    }
}

TEST_CASE("switches and the list") {
    const EcsSettings settings = read(
        "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP= T\nECS_DISABLE_IMAGE_CLEANUP=yes\n"
        "ECS_EXCLUDE_UNTRACKED_IMAGE=a:1,b:2, c:3,,\"d:4\"\n");
    CHECK(settings.removes_untracked);
    CHECK_FALSE(settings.cleanup_is_disabled);  // not a word of Go's ParseBool
    CHECK(settings.exclusions == Texts{"a:1", "b:2", " c:3", "", "\"d:4\""});
    CHECK(read("ECS_DISABLE_IMAGE_CLEANUP=1\n").cleanup_is_disabled);
}

TEST_CASE("/etc wins against /var/lib") {
    const EcsFile instance{"/var/lib/ecs/ecs.config",
                           "ECS_IMAGE_PULL_BEHAVIOR=once\nECS_EXTERNAL=true\n"
                           "ECS_AGENT_CONFIG_FILE_PATH=/var/lib/ecs/a.json\n"};
    Texts warnings;
    const EcsSettings settings = read_ecs_settings(
        {instance, {kFile, "ECS_IMAGE_PULL_BEHAVIOR=prefer-cached\n"}}, std::nullopt, warnings);
    CHECK(settings.pull_behavior == Behavior::prefer_cached);
    CHECK(read_ecs_settings({instance}, std::nullopt, warnings)
              .places.at("ECS_IMAGE_PULL_BEHAVIOR")
              .file == instance.path);
    CHECK(ecs_json_path({instance}) == "/var/lib/ecs/a.json");
    CHECK(ecs_json_path({{kFile, "A=1\n"}}) == "/etc/ecs/ecs.config.json");
}

TEST_CASE("JSON counts where the variables leave the default") {
    struct Row {
        const char* name;
        std::string text;
        std::string json;
        Behavior pull_behavior;
        std::size_t warnings;
    };
    const std::string key = "ECS_IMAGE_PULL_BEHAVIOR";
    for (const Row& row : {
             Row{"alone", "", R"({"ImagePullBehavior":3})", Behavior::prefer_cached, 0},
             Row{"another case", "", R"({"imagepullbehavior":3})", Behavior::prefer_cached, 0},
             Row{"the variable wins", key + "=once", R"({"ImagePullBehavior":3})", Behavior::once,
                 0},
             Row{"but not with default", key + "=default", R"({"ImagePullBehavior":1})",
                 Behavior::always, 0},
             Row{"and not with a wrong value", key + "=\"once\"", R"({"ImagePullBehavior":2})",
                 Behavior::once, 0},
             Row{"a number that means nothing", "", R"({"ImagePullBehavior":9})",
                 Behavior::by_default, 0},
             Row{"null", "", R"({"ImagePullBehavior":null})", Behavior::by_default, 0},
             Row{"an empty file", "", " \n", Behavior::by_default, 0},
             Row{"a word", "", R"({"ImagePullBehavior":"prefer-cached"})", Behavior::by_default, 1},
             Row{"no JSON", "", "ECS_IMAGE_PULL_BEHAVIOR=once", Behavior::by_default, 1},
             Row{"no object", "", "[3]", Behavior::by_default, 1},
         }) {
        CAPTURE(row.name);
        Texts warnings;
        CHECK(read(row.text, row.json, warnings).pull_behavior == row.pull_behavior);
        CHECK(warnings.size() == row.warnings);
        for (const std::string& warning : warnings) {
            CHECK(warning.starts_with("/etc/ecs/ecs.config.json"));
        }
    }
}

TEST_CASE("the other settings in JSON") {
    Texts warnings;
    const std::string json =
        R"({"ImageCleanupExclusionList":["a:1","b:2"],"DeleteNonECSImagesEnabled":true,)"
        R"("ImageCleanupDisabled":1})";
    const EcsSettings settings = read("ECS_DISABLE_IMAGE_CLEANUP=false\n", json, warnings);
    CHECK(warnings.empty());
    CHECK(settings.exclusions == Texts{"a:1", "b:2"});
    CHECK(settings.removes_untracked);
    CHECK_FALSE(settings.cleanup_is_disabled);
    CHECK(settings.places.at("ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP").line == 0);
    CHECK(read("", json, warnings).cleanup_is_disabled);
    read("", R"({"ImageCleanupExclusionList":"a:1","DeleteNonECSImagesEnabled":"no"})", warnings);
    CHECK(warnings.size() == 2);
    read("", R"({"ImageCleanupExclusionList":[1]})", warnings);
    CHECK(warnings.size() == 3);
}

}  // namespace
}  // namespace prebake::kubelet::ecs_settings_test
