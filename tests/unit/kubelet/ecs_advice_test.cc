#include "agent/kubelet/ecs_advice.h"

#include <doctest/doctest.h>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/kubelet/comment.h"

namespace prebake::kubelet::ecs_advice_test {
namespace {

using Texts = std::vector<std::string>;

const std::string kPull = "ECS_IMAGE_PULL_BEHAVIOR=prefer-cached\n";
const std::string kList = "ECS_EXCLUDE_UNTRACKED_IMAGE=";

EcsImage image(const std::string& name, const Texts& by_tag, const Texts& by_digest = {}) {
    return {.name = name, .listed = {by_tag.front()}, .by_tag = by_tag, .by_digest = by_digest};
}

const std::vector<EcsImage> kTwo{image("docker.io/org/a:1", {"org/a:1", "docker.io/org/a:1"}),
                                 image("quay.io/b:2", {"quay.io/b:2"}, {"quay.io/b@sha256:0"})};
const std::string kNames = "org/a:1,docker.io/org/a:1,quay.io/b:2,quay.io/b@sha256:0";

TEST_CASE("the variables, with what follows from them") {
    const v1::EcsAdvice advice = advise_ecs(kTwo);
    CHECK(advice.images() == 2);
    const std::string text = to_variables(advice);
    CHECK(text.ends_with("\n" + kList + kNames + "\n"));
    CHECK(text.find("\n" + kPull) != std::string::npos);
    std::string comments;
    for (const std::string_view line : lines_of(text)) {
        if (!line.starts_with("#")) continue;
        // Otherwise ecs-init would make a variable of it.
        CHECK(line.find('=') == std::string_view::npos);
        comments += std::string(line.substr(1));
    }
    for (const char* consequence : {"once pulls", "fill the disk", "CannotPullImageManifestError",
                                    "removes baked images at "
                                    "once",
                                    "append"}) {
        CAPTURE(consequence);
        CHECK(comments.find(consequence) != std::string::npos);
    }
}

TEST_CASE("without images there is nothing to advise") {
    CHECK_THROWS_WITH_AS(advise_ecs({}), doctest::Contains("prebake bake -n moby"), Error);
}

TEST_CASE("a list must fit into a variable") {
    const std::string long_name(100'000, 'a');
    const v1::EcsAdvice advice =
        advise_ecs({image("a", {"a:1"}, {long_name, long_name + "b"}), image("b", {"b:1"})});
    CHECK(advice.settings(1).value() == "a:1,b:1");
    CHECK(advice.warnings_size() == 1);
    CHECK_THROWS_AS(advise_ecs({image("a", {long_name}), image("b", {long_name + "b"})}), Error);
    CHECK_THROWS_AS(merge_ecs_config(kList + long_name + "," + long_name + "b\n", advice), Error);
}

TEST_CASE("merging into an ecs.config") {
    const v1::EcsAdvice advice = advise_ecs(kTwo);
    const std::string block = to_variables(advice);
    const std::string explained = comment_of(advice.settings(0).why()) + kPull;
    struct Row {
        const char* name;
        std::string text;
        std::string merged;
        Texts changes;
    };
    for (const Row& row : {
             Row{"no file",
                 "",
                 block,
                 {"ECS_IMAGE_PULL_BEHAVIOR was added", "ECS_EXCLUDE_UNTRACKED_IMAGE was added"}},
             Row{"comments, unknown lines and order stay",
                 "# ours\n\nECS_CLUSTER=web\n  odd line\nECS_CLUSTER=web2",
                 "# ours\n\nECS_CLUSTER=web\n  odd line\nECS_CLUSTER=web2\n\n" + block,
                 {"ECS_IMAGE_PULL_BEHAVIOR was added", "ECS_EXCLUDE_UNTRACKED_IMAGE was added"}},
             Row{"what is right stays",
                 kPull + "# mine\n" + kList + kNames + "\n",
                 kPull + "# mine\n" + kList + kNames + "\n",
                 {}},
             Row{"another value is replaced where it stands",
                 "A=1\nECS_IMAGE_PULL_BEHAVIOR=always\n# end\n" + kList + kNames,
                 "A=1\n" + explained + "# end\n" + kList + kNames + "\n",
                 {"line 2: ECS_IMAGE_PULL_BEHAVIOR is prefer-cached now, and was always"}},
             Row{"quotes are removed",
                 "ECS_IMAGE_PULL_BEHAVIOR='prefer-cached'\n" + kList + "\"" + kNames + "\"\n",
                 explained + kList + kNames + "\n",
                 {"line 1: ECS_IMAGE_PULL_BEHAVIOR is prefer-cached now, and was 'prefer-cached'",
                  "line 2: ECS_EXCLUDE_UNTRACKED_IMAGE is written as the agent reads it"}},
             Row{"an empty value is replaced",
                 "ECS_IMAGE_PULL_BEHAVIOR=\n" + kList + kNames + "\n",
                 explained + kList + kNames + "\n",
                 {"line 1: ECS_IMAGE_PULL_BEHAVIOR is prefer-cached now, and was empty"}},
             Row{"of several lines the last one counts",
                 "ECS_IMAGE_PULL_BEHAVIOR=once\n" + kPull + kList + "x\n" + kList + kNames + "\n",
                 "ECS_IMAGE_PULL_BEHAVIOR=once\n" + kPull + kList + "x\n" + kList + kNames + "\n",
                 {}},
             Row{"a list keeps its entries and gets the missing ones",
                 kPull + kList + "mine:1, quay.io/b:2 ,,mine:1\n",
                 kPull + kList +
                     "mine:1,quay.io/b:2,org/a:1,docker.io/org/a:1,quay.io/b@sha256:0\n",
                 {"line 2: ECS_EXCLUDE_UNTRACKED_IMAGE has 3 more names"}},
             Row{"a line that the agent does not read stays",
                 kPull + "export " + kList + "x\n" + kList + kNames + "\n",
                 kPull + "export " + kList + "x\n" + kList + kNames + "\n",
                 {}},
         }) {
        CAPTURE(row.name);
        const MergedEcsConfig merged = merge_ecs_config(row.text, advice);
        CHECK(merged.text == row.merged);
        CHECK(merged.changes == row.changes);
        const MergedEcsConfig again = merge_ecs_config(merged.text, advice);
        CHECK(again.text == merged.text);
        CHECK(again.changes.empty());
        Texts warnings;
        const EcsSettings settings =
            read_ecs_settings({{"/etc/ecs/ecs.config", merged.text}}, std::nullopt, warnings);
        CHECK(find_ecs_clashes(kTwo, settings, "/etc/ecs/ecs.config").empty());
    }
}

TEST_CASE("settings that make the agent pull or remove baked images") {
    struct Row {
        const char* name;
        std::string text;
        Texts found;  // "line cause images"
        const char* message = "";
    };
    const std::string key = "ECS_IMAGE_PULL_BEHAVIOR=";
    const std::string short_list = kList + "org/a:1,quay.io/b:2\n";
    const std::string untracked = "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP=true\n";
    for (const Row& row : {
             Row{"prefer-cached alone", kPull, {}},
             Row{"prefer-cached makes the rest harmless", untracked + kPull, {}},
             Row{"nothing is set", "", {"0 default 0", "0 removed_unused 2"}, "is not set:"},
             Row{"default", short_list + key + "default\n", {"2 default 0"}, "for every task"},
             Row{"always", short_list + key + "always\n", {"2 always 0"}, "fails if the registry"},
             Row{"once", short_list + key + "once\n", {"2 once 0"}, "only its own pulls"},
             Row{"quotes",
                 short_list + key + "\"prefer-cached\"\n",
                 {"2 not_read 0"},
                 "the quotes belong to it"},
             Row{"a space",
                 short_list + key + " prefer-cached\n",
                 {"2 not_read 0"},
                 "the spaces belong to it"},
             Row{"an unknown word",
                 short_list + key + "never\n",
                 {"2 not_read 0"},
                 "is never, which the agent does not know"},
             Row{"empty", short_list + key + "\n", {"2 default 0"}, "is empty"},
             Row{"export",
                 short_list + "export " + kPull,
                 {"2 default 0"},
                 "as \"export ECS_IMAGE_PULL_BEHAVIOR\""},
             Row{"one spelling is enough for images in use",
                 key + "once\n" + kList + "docker.io/org/a:1,quay.io/b@sha256:0\n",
                 {"1 once 0"}},
             Row{"an image is missing",
                 key + "once\n" + kList + "docker.io/org/a:1\n",
                 {"1 once 0", "2 removed_unused 1"}},
             Row{"entries that match nothing",
                 key + "once\n" + kList + "org/a:1, quay.io/b:2\n",
                 {"1 once 0", "2 removed_unused 1"}},
             Row{"unused images are compared by what Docker lists",
                 untracked + key + "once\n" + kList + "docker.io/org/a:1,quay.io/b:2\n",
                 {"2 once 0", "1 removed_untracked 1"}},
             Row{"no cleanup at all",
                 untracked + key + "once\nECS_DISABLE_IMAGE_CLEANUP=true\n",
                 {"2 once 0"}},
         }) {
        CAPTURE(row.name);
        Texts warnings;
        Texts found;
        std::string messages;
        const EcsSettings settings =
            read_ecs_settings({{"/etc/ecs/ecs.config", row.text}}, std::nullopt, warnings);
        for (const v1::EcsClash& clash : find_ecs_clashes(kTwo, settings, "/etc/ecs/ecs.config")) {
            found.push_back(std::to_string(clash.line()) + " " + clash.cause() + " " +
                            std::to_string(clash.images_size()));
            messages += clash.message() + "\n";
            CHECK(clash.file() == "/etc/ecs/ecs.config");
            CHECK(clash.next_step().find("prebake ecs-config --write") != std::string::npos);
        }
        CHECK(found == row.found);
        CHECK(messages.find(row.message) != std::string::npos);
        CHECK(ecs_settings_without_effect(settings).size() ==
              (row.text == untracked + kPull ? 1 : 0));
    }
}

TEST_CASE("a message names some images, and the finding all") {
    std::vector<EcsImage> many;
    for (char c = 'a'; c <= 'h'; ++c) many.push_back(image(std::string(1, c) + ":1", {"x"}));
    const auto clashes = find_ecs_clashes(many, {}, "/etc/ecs/ecs.config");
    REQUIRE(clashes.size() == 2);
    CHECK(clashes[1].images_size() == 8);
    CHECK(clashes[1].message().ends_with(": a:1, b:1, c:1, d:1, e:1 and 3 more"));
}

}  // namespace
}  // namespace prebake::kubelet::ecs_advice_test
