#include "agent/store/snapshot_use.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

namespace prebake::store::snapshot_use_test {

using containerd::SnapshotKind;
using Names = std::vector<std::string>;

SnapshotsByName snapshots_of(
    const std::vector<std::tuple<std::string, std::string, SnapshotKind>>& all) {
    SnapshotsByName snapshots;
    for (const auto& [name, parent, kind] : all) {
        snapshots[name] = {.name = name, .parent = parent, .kind = kind, .labels = {}};
    }
    return snapshots;
}

TEST_CASE("what stands on a snapshot") {
    constexpr SnapshotKind kCommitted = SnapshotKind::committed;
    const SnapshotsByName snapshots = snapshots_of({{"base", "", kCommitted},
                                                    {"one", "base", kCommitted},
                                                    {"two", "base", kCommitted},
                                                    {"three", "two", kCommitted},
                                                    {"pulled", "one", kCommitted},
                                                    {"abc-init", "three", kCommitted},
                                                    {"abc", "abc-init", SnapshotKind::active},
                                                    {"view", "pulled", SnapshotKind::view},
                                                    {"other", "", kCommitted}});
    const std::set<std::string> baked{"base", "one", "two", "three", "other"};
    struct Row {
        const char* snapshot;
        Names baked;
        Names containers;
        Names others;
    };
    const std::vector<Row> rows{
        {"other", {"other"}, {}, {}},
        {"three", {"three"}, {"abc"}, {"abc-init"}},
        {"two", {"three", "two"}, {"abc"}, {"abc-init"}},
        {"one", {"one"}, {"view"}, {"pulled"}},
        {"base", {"three", "two", "one", "base"}, {"view", "abc"}, {"pulled", "abc-init"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.snapshot);
        const Dependents found = dependents_of(row.snapshot, snapshots, baked);
        CHECK(found.baked == row.baked);
        CHECK(found.containers == row.containers);
        CHECK(found.others == row.others);
        CHECK(found.are_replaceable() == (row.containers.empty() && row.others.empty()));
    }
}

TEST_CASE("who keeps a snapshot, and what to do") {
    const Dependents used{.baked = {"a"}, .containers = {"1", "2", "3", "4"}, .others = {"x"}};
    CHECK(users_text(used) == "4 containers (1, 2, 3, ...)");
    CHECK(how_to_free(used).find("drain the node") == 0);
    CHECK(users_text({.baked = {"a"}, .containers = {"1"}, .others = {}}) == "1 container (1)");
    const Dependents below{.baked = {"a"}, .containers = {}, .others = {"x"}};
    CHECK(users_text(below) == "the snapshot x, which was not baked");
    CHECK(how_to_free(below).find("remove the image") == 0);
}

TEST_CASE("the chains of a namespace") {
    v1::BakeRecord record;
    for (const bool is_unpacked : {true, false}) {
        v1::BakedImage& image = *record.add_images();
        image.add_layers()->set_chain_id(is_unpacked ? "unpacked" : "packed");
        v1::Placement& placement = *image.add_placements();
        placement.set_namespace_("k8s.io");
        placement.set_unpacked(is_unpacked);
    }
    CHECK(chains_in(record, "k8s.io") == std::set<std::string>{"unpacked"});
    CHECK(chains_in(record, "moby").empty());
}

}  // namespace prebake::store::snapshot_use_test
