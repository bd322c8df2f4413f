#include "agent/guard/image_health.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using prebake::guard::health_of;
using prebake::guard::ImageHealth;
using prebake::guard::is_repairable;
using prebake::guard::repair_of;
using prebake::guard::repairable_of;
using prebake::store::Check;
using prebake::store::Finding;
using prebake::store::FindingKind;
namespace v1 = prebake::v1;

namespace {

const std::string kTag = "docker.io/library/a:1";
const std::string kDigestName = "docker.io/library/a@sha256:t";
const std::string kId = "sha256:" + std::string(64, 'c');

v1::BakeRecord record() {
    v1::BakeRecord record;
    v1::BakedImage& image = *record.add_images();
    image.set_name(kTag);
    image.mutable_target()->set_digest("sha256:t");
    image.mutable_config()->set_digest(kId);
    for (const char* digest : {"sha256:l1", "sha256:l2"}) {
        v1::Layer& layer = *image.add_layers();
        layer.set_digest(digest);
        layer.set_size(10);
    }
    v1::Placement& cri = *image.add_placements();
    cri.set_namespace_("k8s.io");
    for (const std::string& name : {kId, kDigestName, kTag}) cri.add_names(name);
    cri.set_pinned(true);
    cri.set_unpacked(true);
    cri.set_layers_kept(true);
    cri.set_cri_resolves(true);
    v1::Placement& other = *image.add_placements();
    other.set_namespace_("default");
    other.add_names(kTag);
    return record;
}

Finding found(FindingKind kind, const std::string& subject, const std::string& ns = "k8s.io") {
    return {.kind = kind,
            .check = Check::names,
            .image = kTag,
            .ns = ns,
            .object = "thing " + subject,
            .subject = subject,
            .expected = "so",
            .found = "otherwise",
            .next_step = "do this"};
}

/// One letter for each problem: not Present, not Unpacked, not piNned, not Resolved; Moved.
std::string letters(const ImageHealth& image) {
    std::string text;
    if (!image.is_present) text += 'p';
    if (!image.is_unpacked) text += 'u';
    if (!image.is_pinned) text += 'n';
    if (!image.is_resolved) text += 'r';
    if (image.is_moved) text += 'm';
    return text;
}

}  // namespace

TEST_CASE("health_of() derives the health from the findings") {
    struct Row {
        const char* name;
        std::vector<Finding> findings;
        std::string expected;
    };
    const std::vector<Row> rows{
        {"none", {}, ""},
        {"name gone", {found(FindingKind::name_missing, kTag)}, "pn"},
        {"config gone", {found(FindingKind::blob_missing, kId)}, "p"},
        {"the blob of an unpacked layer is not needed",
         {found(FindingKind::blob_missing, "sha256:l1")},
         ""},
        {"the blob is needed if the layer must be unpacked again",
         {found(FindingKind::blob_missing, "sha256:l1"),
          found(FindingKind::snapshot_missing, "sha256:chain")},
         "pu"},
        {"snapshot gone", {found(FindingKind::snapshot_missing, "sha256:chain")}, "u"},
        {"files of a snapshot are damaged",
         {found(FindingKind::tree_damaged, "sha256:chain")},
         "u"},
        {"unpinned", {found(FindingKind::unpinned, kTag)}, "n"},
        {"not protected from garbage collection",
         {found(FindingKind::reference_missing, "sha256:m")},
         "n"},
        {"unmanaged", {found(FindingKind::unmanaged, kTag)}, "r"},
        {"CRI would pull", {found(FindingKind::cri_unresolved, kTag)}, "r"},
        {"CRI has none for this platform", {found(FindingKind::cri_other_platform, kTag)}, ""},
        {"the pin is ignored", {found(FindingKind::pin_ignored, kTag)}, ""},
        {"the tag was moved, and CRI finds another image by it",
         {found(FindingKind::name_moved, kTag), found(FindingKind::cri_unresolved, kTag),
          found(FindingKind::unpinned, kTag)},
         "m"},
        {"the tag was moved: the old image is no longer wanted",
         {found(FindingKind::name_moved, kTag), found(FindingKind::name_missing, kId),
          found(FindingKind::blob_missing, kId), found(FindingKind::snapshot_missing, "x")},
         "m"},
        {"another name was moved, not the tag",
         {found(FindingKind::name_moved, kId), found(FindingKind::name_missing, kTag)},
         "pnm"},
        {"of another namespace", {found(FindingKind::name_missing, kTag, "default")}, ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const std::vector<ImageHealth> images = health_of(record(), row.findings);
        REQUIRE(images.size() == 2);
        CHECK(letters(images[0]) == row.expected);
    }
}

TEST_CASE("a finding is about one platform of a name, and another platform is not unusable") {
    v1::BakeRecord two;
    for (const char* platform : {"linux/amd64", "linux/s390x"}) {
        *two.add_images() = record().images(0);
        two.mutable_images(two.images_size() - 1)->set_platform(platform);
        for (v1::Placement& placement :
             *two.mutable_images(two.images_size() - 1)->mutable_placements()) {
            placement.set_cri_resolves(false);
        }
    }
    Finding finding = found(FindingKind::snapshot_missing, "sha256:chain");
    finding.platform = "linux/s390x";
    const std::vector<ImageHealth> images = health_of(two, {finding});
    REQUIRE(images.size() == 4);
    CHECK(images[0].is_unpacked);
    CHECK_FALSE(images[2].is_unpacked);
    CHECK(images[2].key() == prebake::guard::key_of(finding));
    CHECK(images[2].is_other_platform == !prebake::store::runs_here("linux/s390x"));
    // On a machine that does not run it, nothing needs it.
    using prebake::guard::StoreVerdict;
    const StoreVerdict verdict = prebake::guard::judge(two, {finding});
    CHECK(verdict ==
          (images[2].is_other_platform ? StoreVerdict::degraded : StoreVerdict::not_usable));
}

TEST_CASE("an image that a rule refuses makes the machine unusable, a lost signature does not") {
    using prebake::guard::judge;
    using prebake::guard::StoreVerdict;
    const Finding refused = found(FindingKind::untrusted, "sha256:t");
    const Finding lost = found(FindingKind::signature_lost, "sha256:t");
    CHECK(judge(record(), {refused}) == StoreVerdict::not_usable);
    CHECK(judge(record(), {lost}) == StoreVerdict::degraded);
    CHECK_FALSE(health_of(record(), {refused})[0].is_present);
    CHECK_FALSE(health_of(record(), {lost})[0].is_complete);
    CHECK_FALSE(is_repairable(refused));
    CHECK_FALSE(is_repairable(lost));
}

TEST_CASE("a check that failed counts as a problem of what it checked") {
    struct Row {
        const char* name;
        Check check;
        std::string expected;
    };
    for (const Row& row :
         {Row{"holdings: nothing else was checked", Check::holdings, "punr"},
          Row{"names", Check::names, "pn"}, Row{"blobs", Check::blobs, "p"},
          Row{"references", Check::references, "pn"}, Row{"snapshots", Check::snapshots, "u"},
          Row{"CRI", Check::cri, "r"}, Row{"signatures", Check::signatures, ""}}) {
        CAPTURE(row.name);
        Finding finding = found(FindingKind::unreadable, "");
        finding.check = row.check;
        CHECK(letters(health_of(record(), {finding})[0]) == row.expected);
        CHECK_FALSE(is_repairable(finding));
    }
}

TEST_CASE(
    "health_of() takes what is wanted from the record, and reports the finding that explains "
    "others") {
    const std::vector<ImageHealth> images = health_of(
        record(),
        {found(FindingKind::cri_unresolved, kTag), found(FindingKind::blob_missing, kId)});
    CHECK(images[0].wants_pin);
    CHECK(images[0].wants_unpacked);
    CHECK(images[0].wants_cri);
    CHECK(images[0].bytes == 20);
    CHECK(images[0].digest == "sha256:t");
    CHECK(images[0].problem == "thing " + kId + ": otherwise, expected so");
    CHECK(images[0].next_step == "do this");
    CHECK_FALSE(images[0].is_usable());
    CHECK(images[1].ns == "default");
    CHECK_FALSE(images[1].wants_pin);
    CHECK(images[1].is_usable());
    CHECK(images[1].problem.empty());
}

TEST_CASE("CRI is wanted for every image in k8s.io, whatever the builder's CRI said") {
    v1::BakeRecord of_builder = record();
    v1::BakedImage& image = *of_builder.mutable_images(0);
    image.mutable_placements(0)->set_cri_resolves(false);
    image.mutable_config()->set_media_type("application/vnd.oci.image.config.v1+json");
    CHECK(health_of(of_builder, {})[0].wants_cri);
    CHECK_FALSE(health_of(of_builder, {})[1].wants_cri);
    CHECK_FALSE(is_repairable(found(FindingKind::cri_other_platform, kTag)));

    image.mutable_config()->set_media_type("application/vnd.cncf.helm.config.v1+json");
    CHECK_MESSAGE(!health_of(of_builder, {})[0].wants_cri, "no pod can use an artifact");
}

TEST_CASE("neither a moved name nor its consequences are repaired") {
    const std::string other_tag = "docker.io/library/a:2";
    v1::BakeRecord two_tags = record();
    two_tags.mutable_images(0)->mutable_placements(0)->add_names(other_tag);
    const std::vector<Finding> left = repairable_of(
        two_tags, {found(FindingKind::name_moved, kTag), found(FindingKind::unpinned, kTag),
                   found(FindingKind::cri_unresolved, kTag), found(FindingKind::unpinned, kId),
                   found(FindingKind::name_missing, other_tag),
                   found(FindingKind::unpinned, kTag, "default")});
    REQUIRE(left.size() == 3);
    CHECK(left[0].subject == kId);
    CHECK(left[1].subject == other_tag);
    CHECK(left[2].ns == "default");
}

TEST_CASE("if all tags of an image were moved, the rest of it may be deleted") {
    const std::vector<Finding> left = repairable_of(
        record(),
        {found(FindingKind::name_moved, kTag), found(FindingKind::name_missing, kId),
         found(FindingKind::name_missing, kDigestName), found(FindingKind::snapshot_missing, "x"),
         found(FindingKind::name_missing, kTag, "default")});
    REQUIRE(left.size() == 1);
    CHECK(left[0].ns == "default");
}

TEST_CASE("repair_of() reports each kind of repair once") {
    CHECK(repair_of({}, "native") == "");
    CHECK(repair_of({found(FindingKind::unpinned, kTag), found(FindingKind::unpinned, kId)},
                    "native") == "pinned again");
    CHECK(repair_of(
              {found(FindingKind::cri_unresolved, kTag), found(FindingKind::name_missing, kTag)},
              "native") == "recreated the name");
    CHECK(repair_of({found(FindingKind::reference_missing, "m"),
                     found(FindingKind::snapshot_missing, "x")},
                    "native") ==
          "unpacked into native from its layers, protected its content from garbage collection");
    CHECK(repair_of({found(FindingKind::cri_unresolved, kTag)}, "native") == "made CRI know it");
}
