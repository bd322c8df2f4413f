#include "agent/report/conditions.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

using prebake::guard::ImageHealth;
using prebake::report::condition_types;
using prebake::report::evaluate;
using prebake::report::IdentityFacts;
using prebake::report::NodeFacts;
using prebake::report::Verdict;
using prebake::report::verdict_of;
namespace v1 = prebake::v1;

namespace {

using Time = std::chrono::system_clock::time_point;
const Time kNow{std::chrono::seconds(1'000)};

ImageHealth image(const std::string& name) {
    return {.name = name,
            .ns = "k8s.io",
            .digest = "sha256:t",
            .wants_pin = true,
            .wants_unpacked = true,
            .wants_cri = true,
            .problem = {},
            .next_step = {}};
}

/// Everything is as it should be.
NodeFacts healthy() {
    NodeFacts facts;
    facts.is_serving = true;
    facts.is_reconciled = true;
    facts.cri.answers = true;
    facts.snapshotter = "overlayfs";
    facts.images = {image("a"), image("b")};
    facts.recorded = 2;
    facts.identity.claim.set_state(v1::Claim::CLAIMED);
    facts.identity.claim.mutable_instance()->set_id("i-1");
    facts.identity.claim.mutable_seal()->set_salt("1");
    return facts;
}

using Change = std::function<void(NodeFacts&)>;

v1::Condition condition(const NodeFacts& facts, const std::string& type) {
    for (const v1::Condition& found : evaluate(facts, {}, {}, kNow)) {
        if (found.type() == type) return found;
    }
    return {};
}

std::vector<std::string> every_gate() {
    return {condition_types().begin(), condition_types().end()};
}

Verdict verdict(const NodeFacts& facts, const std::vector<std::string>& gates) {
    return verdict_of(evaluate(facts, {}, gates, kNow), facts.is_reconciled);
}

}  // namespace

TEST_CASE("each condition has the status and the reason that the facts call for") {
    const Change nothing = [](NodeFacts&) {};
    const Change unchecked = [](NodeFacts& facts) { facts.is_reconciled = false; };
    const Change no_record = [](NodeFacts& facts) { facts.record_problem = "it is damaged"; };
    const Change away = [](NodeFacts& facts) {
        facts.is_serving = false;
        facts.serving_problem = "nobody listens";
    };
    const Change in_a_circle = [](NodeFacts& facts) {
        facts.is_serving = false;
        facts.serving_problem = "nobody listens";
        facts.order_problems.containerd = "k3s.service waits for prebake-ready.target";
    };
    const Change ordered_and_serving = [](NodeFacts& facts) {
        facts.order_problems.containerd = "k3s.service waits for prebake-ready.target";
    };
    const Change one_of_another_platform = [](NodeFacts& facts) {
        facts.images[1].is_other_platform = true;
        facts.images[1].is_resolved = facts.images[1].is_present = false;
        facts.images[1].platform = "linux/s390x";
    };
    const Change all_of_another_platform = [](NodeFacts& facts) {
        for (ImageHealth& each : facts.images) {
            each.is_other_platform = true;
            each.platform = "linux/s390x";
        }
    };
    const Change lost_record = [](NodeFacts& facts) {
        facts.images.clear();
        facts.recorded = 0;
        facts.identity.claim.mutable_seal()->set_baked_images(7);
    };
    const Change nothing_baked = [](NodeFacts& facts) {
        facts.images.clear();
        facts.recorded = 0;
    };
    struct Row {
        const char* name;
        const char* type;
        Change change;
        const char* expected;
        const char* in_message;
    };
    const std::vector<Row> rows{
        {"serving", "ContainerdServing", nothing, "True Serving", ""},
        {"away", "ContainerdServing", away, "False NotAnswering", "nobody listens"},
        {"away, and its service waits for us", "ContainerdServing", in_a_circle, "False WaitsForUs",
         "k3s.service"},
        {"its service would wait for us", "ContainerdServing", ordered_and_serving, "True Serving",
         ""},
        {"present", "ImagesPresent", nothing, "True AllPresent", "2 images"},
        {"in two namespaces", "ImagesPresent",
         [](NodeFacts& facts) {
             facts.images.push_back(facts.images[0]);
             facts.images.back().ns = "moby";
         },
         "True AllPresent", "2 images with"},
        {"not checked yet", "ImagesPresent", unchecked, "Unknown NotChecked", ""},
        {"containerd away: what was known stays", "ImagesPresent", away, "True AllPresent", ""},
        {"missing", "ImagesPresent",
         [](NodeFacts& facts) {
             facts.images[1].is_present = false;
             facts.images[1].problem = "blob x: no such blob";
         },
         "False ImagesMissing", "b in k8s.io is not complete: blob x: no such blob"},
        {"two missing", "ImagesPresent",
         [](NodeFacts& facts) {
             for (ImageHealth& each : facts.images) each.is_present = false;
             facts.images.push_back(facts.images[0]);
             facts.images.back().is_present = true;
         },
         "False ImagesMissing", "a in k8s.io (and 1 more)"},
        {"all missing", "ImagesPresent",
         [](NodeFacts& facts) {
             for (ImageHealth& each : facts.images) each.is_present = false;
             facts.content_directory = "/var/lib/containerd/content";
         },
         "False NothingLeft",
         "none of the 2 baked images is in containerd's store any more "
         "(/var/lib/containerd/content): its data were removed"},
        {"the only one is missing", "ImagesPresent",
         [](NodeFacts& facts) {
             facts.images.resize(1);
             facts.images[0].is_present = false;
         },
         "False ImagesMissing", "a in k8s.io is not complete"},
        {"evicted is not missing", "ImagesPresent",
         [](NodeFacts& facts) {
             facts.images[1].is_present = false;
             facts.images[1].is_evicted = true;
         },
         "True AllPresent", ""},
        {"an image that lost its tags is not counted", "ImagesPresent",
         [](NodeFacts& facts) { facts.images[1].is_moved = facts.images[1].is_abandoned = true; },
         "True AllPresent", "1 image with its names"},
        {"all tags were moved", "ImagesPresent",
         [](NodeFacts& facts) {
             for (ImageHealth& each : facts.images) each.is_moved = each.is_abandoned = true;
         },
         "True NoneWanted", "no baked image is wanted any more"},
        {"one is for another platform", "ImagesPresent", one_of_another_platform, "True AllPresent",
         "1 image with its names and the content that containers need; 1 image is for another "
         "platform (linux/s390x)"},
        {"all are for another platform", "ImagesPresent", all_of_another_platform,
         "False OtherPlatform", "all are for linux/s390x"},
        {"CRI cannot resolve any of another platform", "CriResolves", all_of_another_platform,
         "Unknown OtherPlatform", "all are for linux/s390x"},
        {"the record vanished", "ImagesPresent", lost_record, "False RecordMissing",
         "7 baked images"},
        {"the record vanished, unpacked", "ImagesUnpacked", lost_record, "Unknown RecordMissing",
         "7 baked images"},
        {"the record vanished, pinned", "ImagesPinned", lost_record, "Unknown RecordMissing", ""},
        {"the record vanished, CRI", "CriResolves", lost_record, "Unknown RecordMissing", ""},
        {"the record vanished, intact", "BakeIntact", lost_record, "Unknown RecordMissing", ""},
        {"the record vanished before a check", "BakeIntact",
         [&](NodeFacts& facts) {
             lost_record(facts);
             unchecked(facts);
         },
         "Unknown NotChecked", ""},
        {"nothing baked, intact", "BakeIntact", nothing_baked, "NotApplicable NotWanted",
         "no image was baked"},
        {"nothing baked, unpacked", "ImagesUnpacked", nothing_baked, "NotApplicable NotWanted", ""},
        {"nothing baked, pinned", "ImagesPinned", nothing_baked, "NotApplicable NotWanted", ""},
        {"nothing baked, CRI", "CriResolves", nothing_baked, "NotApplicable NotWanted", ""},
        {"the record vanished, and the sandbox image is protected", "ImagesPresent",
         [](NodeFacts& facts) {
             facts.recorded = 0;
             facts.identity.claim.mutable_seal()->set_baked_images(1);
         },
         "False RecordMissing", "1 baked image,"},
        {"as baked", "BakeIntact", nothing, "True AsBaked", ""},
        {"a layer that no container needs is gone", "BakeIntact",
         [](NodeFacts& facts) {
             facts.images[1].is_complete = false;
             facts.images[1].problem = "blob x: no such blob";
         },
         "False ContentMissing", "b in k8s.io lacks content that was baked: blob x"},
        {"the same, of an image for another platform", "BakeIntact",
         [](NodeFacts& facts) {
             facts.images[1].is_complete = false;
             facts.images[1].is_other_platform = true;
         },
         "False ContentMissing", "b in k8s.io"},
        {"a tag was moved", "BakeIntact", [](NodeFacts& facts) { facts.images[1].is_moved = true; },
         "False TagMoved", "the tags of 1 image, first of b in k8s.io"},
        {"evicted", "BakeIntact",
         [](NodeFacts& facts) {
             facts.images[1].is_complete = false;
             facts.images[1].is_evicted = true;
         },
         "True AsBaked", ""},
        {"record, intact", "BakeIntact", no_record, "Unknown RecordUnreadable", ""},
        {"not checked, intact", "BakeIntact", unchecked, "Unknown NotChecked", ""},
        {"another platform is no problem of CRI", "CriResolves", one_of_another_platform,
         "True Resolves", "; 1 image is for another platform (linux/s390x)"},
        {"nothing baked", "ImagesPresent", nothing_baked, "True NothingBaked", ""},
        {"nothing baked, and no sandbox image", "ImagesPresent",
         [](NodeFacts& facts) {
             facts.images.clear();
             facts.is_sandbox_missing = true;
             facts.sandbox_image = "registry.k8s.io/pause:3.8";
         },
         "True NothingBaked", "CRI will pull its sandbox image registry.k8s.io/pause:3.8"},
        {"no sandbox image", "ImagesPresent",
         [](NodeFacts& facts) {
             facts.is_sandbox_missing = true;
             facts.sandbox_image = "registry.k8s.io/pause:3.8";
         },
         "False SandboxImageMissing", "registry.k8s.io/pause:3.8"},
        {"no sandbox image, and nothing baked for pods", "ImagesPresent",
         [](NodeFacts& facts) {
             facts.is_sandbox_missing = true;
             facts.sandbox_image = "registry.k8s.io/pause:3.8";
             for (ImageHealth& each : facts.images) each.ns = "moby";
         },
         "True AllPresent", ""},
        {"the baked sandbox image is gone", "ImagesPresent",
         [](NodeFacts& facts) {
             facts.images[1].is_sandbox = true;
             facts.images[0].is_present = facts.images[1].is_present = false;
             facts.images.push_back(facts.images[0]);
             facts.images.back().is_present = true;
         },
         "False SandboxImageMissing", "sandbox image b"},
        {"record", "ImagesPresent", no_record, "False RecordUnreadable", "it is damaged"},
        {"unpacked", "ImagesUnpacked", nothing, "True Unpacked", "overlayfs"},
        {"packed", "ImagesUnpacked", [](NodeFacts& facts) { facts.images[0].is_unpacked = false; },
         "False NotUnpacked", "a in k8s.io is not unpacked in the snapshotter overlayfs"},
        {"not to be unpacked", "ImagesUnpacked",
         [](NodeFacts& facts) {
             facts.images[0].is_unpacked = facts.images[0].wants_unpacked = false;
         },
         "True Unpacked", ""},
        {"nothing to be unpacked", "ImagesUnpacked",
         [](NodeFacts& facts) {
             for (ImageHealth& each : facts.images) each.wants_unpacked = false;
         },
         "NotApplicable NotWanted", "no image is to be unpacked"},
        {"record, unpacked", "ImagesUnpacked", no_record, "Unknown RecordUnreadable", ""},
        {"unpacking not checked", "ImagesUnpacked", unchecked, "Unknown NotChecked", ""},
        {"pinned", "ImagesPinned", nothing, "True Pinned", ""},
        {"pin lost", "ImagesPinned", [](NodeFacts& facts) { facts.images[0].is_pinned = false; },
         "False PinLost", "a in k8s.io"},
        {"unpinned by the budget", "ImagesPinned",
         [](NodeFacts& facts) {
             facts.images[0].is_unpinned_by_budget = true;
             facts.images[0].is_pinned = false;
         },
         "False UnpinnedByBudget", "1 image not pinned"},
        {"CRI ignores pins", "ImagesPinned",
         [](NodeFacts& facts) {
             for (ImageHealth& each : facts.images) each.is_pin_ignored = true;
         },
         "False PinsIgnored", "2 baked images"},
        {"an emptied store", "ImagesPinned",
         [](NodeFacts& facts) {
             for (ImageHealth& each : facts.images) each.is_present = each.is_pinned = false;
         },
         "False PinLost", "a in k8s.io (and 1 more)"},
        {"no pins wanted", "ImagesPinned",
         [](NodeFacts& facts) {
             for (ImageHealth& each : facts.images) each.wants_pin = false;
         },
         "NotApplicable NotWanted", "no image asks for a pin"},
        {"one by the budget, one lost", "ImagesPinned",
         [](NodeFacts& facts) {
             facts.images[0].is_unpinned_by_budget = true;
             facts.images[1].is_pinned = false;
         },
         "False PinLost", "b in k8s.io"},
        {"resolves", "CriResolves", nothing, "True Resolves", ""},
        {"resolves not", "CriResolves",
         [](NodeFacts& facts) { facts.images[0].is_resolved = false; }, "False NotResolved",
         "a in k8s.io would be pulled"},
        {"not resolved, nor present", "CriResolves",
         [](NodeFacts& facts) { facts.images[0].is_present = facts.images[0].is_resolved = false; },
         "False NotResolved", "a in k8s.io would be pulled"},
        {"CRI is disabled", "CriResolves",
         [](NodeFacts& facts) {
             facts.cri = {.problem = "it is off", .next_step = "switch it on"};
         },
         "Unknown CriDisabled", "not known whether pods find the 2 images in k8s.io: it is off"},
        {"CRI failed to load", "CriResolves",
         [](NodeFacts& facts) {
             facts.cri = {.has_failed = true, .problem = "a typo", .next_step = "correct it"};
         },
         "False CriFailed", "a typo"},
        {"no CRI, and no image for it", "CriResolves",
         [](NodeFacts& facts) {
             facts.cri = {.problem = "it is off", .next_step = "switch it on"};
             for (ImageHealth& each : facts.images) each.wants_cri = false;
         },
         "NotApplicable NotWanted", "no image is for CRI"},
        {"containerd away: CRI says nothing", "CriResolves", away, "Unknown NotAnswering", ""},
        {"CRI, record", "CriResolves", no_record, "Unknown RecordUnreadable", ""},
        {"CRI not checked", "CriResolves", unchecked, "Unknown NotChecked", ""},
        {"nothing is for Docker", "StoreMatches", nothing, "NotApplicable NotWanted",
         "no image is for Docker (in namespace moby)"},
        {"Docker, and the record is gone", "StoreMatches", lost_record, "Unknown RecordMissing",
         ""},
        {"Docker, and no record", "StoreMatches", no_record, "Unknown RecordUnreadable", ""},
        {"dockerd was not asked", "StoreMatches",
         [](NodeFacts& facts) { facts.docker.is_wanted = true; }, "Unknown NotAnswering",
         "was not asked yet"},
        {"dockerd does not answer", "StoreMatches",
         [](NodeFacts& facts) {
             facts.docker = {.is_wanted = true, .problem = "nothing listens on d.sock"};
         },
         "Unknown NotAnswering", "nothing listens on d.sock"},
        {"dockerd waits for us", "StoreMatches",
         [](NodeFacts& facts) {
             facts.docker.is_wanted = true;
             facts.order_problems.docker = "docker.service waits for prebake-ready.target";
         },
         "Unknown WaitsForUs", "docker.service"},
        {"the same store", "StoreMatches",
         [](NodeFacts& facts) {
             facts.docker = {.is_wanted = true, .is_answering = true, .store = "Docker 28"};
         },
         "True SameStore", "Docker 28 has the images"},
        {"another store", "StoreMatches",
         [](NodeFacts& facts) {
             facts.docker = {.is_wanted = true,
                             .is_answering = true,
                             .mismatch = prebake::guard::StoreMismatch{"they differ", "do that"}};
         },
         "False StoreMismatch", "they differ"},
        {"nothing is in containerd", "ContainerdServing",
         [](NodeFacts& facts) { facts.needs_containerd = facts.is_serving = false; },
         "NotApplicable NotWanted", "no image is in containerd"},
        {"dockerd is awaited", "ImagesPresent",
         [](NodeFacts& facts) {
             facts.is_reconciled = false;
             facts.docker = {.is_wanted = true, .problem = "no socket", .is_checked = false};
         },
         "Unknown NotChecked", "when dockerd answers: no socket"},
        {"one was removed", "ImagesPresent",
         [](NodeFacts& facts) {
             facts.images[0].is_removed = true;
             facts.images[0].is_present = false;
         },
         "True AllPresent", "1 image with its names"},
        {"one was removed", "BakeIntact",
         [](NodeFacts& facts) {
             facts.images[0].is_removed = true;
             facts.images[0].is_present = facts.images[0].is_complete = false;
         },
         "False Removed", "1 image, first of all a in k8s.io: somebody removed it"},
        {"claimed", "IdentityClaimed", nothing, "True Claimed", "i-1"},
        {"claimed by another", "IdentityClaimed",
         [](NodeFacts& facts) { facts.identity.is_this_instance = false; }, "False AnotherInstance",
         "i-1"},
        {"unclaimed", "IdentityClaimed",
         [](NodeFacts& facts) { facts.identity.claim.set_state(v1::Claim::UNCLAIMED); },
         "False NotClaimed", ""},
        {"sealed is not claimed", "IdentityClaimed",
         [](NodeFacts& facts) { facts.identity.claim.set_state(v1::Claim::SEALED); },
         "False NotClaimed", ""},
        {"claiming", "IdentityClaimed",
         [](NodeFacts& facts) { facts.identity.claim.set_state(v1::Claim::CLAIMING); },
         "False ClaimIncomplete", ""},
        {"claim unreadable", "IdentityClaimed",
         [](NodeFacts& facts) { facts.identity.problem = "of a later version"; },
         "False ClaimUnreadable", "of a later version"},
        {"fresh", "SealIntact", nothing, "True FreshIdentity", ""},
        {"never sealed: nothing was compared", "SealIntact",
         [](NodeFacts& facts) { facts.identity.claim.clear_seal(); }, "True NotSealed",
         "does not come from a sealed image"},
        {"every address", "EndpointListening", nothing, "True Listening", "configured"},
        {"a taken port", "EndpointListening",
         [](NodeFacts& facts) { facts.endpoint_problem = "user 7 has it"; }, "False NotListening",
         "user 7 has it"},
        {"not to be hydrated", "Hydrated", nothing, "NotApplicable NoPlan", "no plan"},
        {"sealed", "SealIntact",
         [](NodeFacts& facts) { facts.identity.claim.set_state(v1::Claim::SEALED); }, "True Sealed",
         ""},
        {"unsealed in place", "SealIntact",
         [](NodeFacts& facts) { facts.identity.claim.set_unsealed_in_place(true); },
         "False UnsealedInPlace", ""},
        {"builder's identity", "SealIntact",
         [](NodeFacts& facts) {
             facts.identity.builder_identities = {"/etc/a", "/etc/b", "/etc/c", "/etc/d"};
         },
         "False BuilderIdentityFound", "/etc/a, /etc/b, /etc/c and 1 more"},
        {"not claimed: unknown", "SealIntact",
         [](NodeFacts& facts) { facts.identity.claim.set_state(v1::Claim::UNCLAIMED); },
         "Unknown NotClaimed", ""},
        {"renewed clone", "SealIntact",
         [](NodeFacts& facts) { facts.identity.claim.mutable_cloned_from()->set_id("i-0"); },
         "True RenewedClone", "i-0"},
    };
    for (const Row& row : rows) {
        CAPTURE(std::string(row.name));
        NodeFacts facts = healthy();
        row.change(facts);
        const v1::Condition found = condition(facts, row.type);
        CHECK(found.status() + " " + found.reason() == row.expected);
        CHECK_MESSAGE(found.message().find(row.in_message) != std::string::npos, found.message());
        // What is wrong comes with what to do; what is not known yet needs only time.
        CHECK((found.status() != "False" || !found.next_step().empty()));
    }
}

TEST_CASE("whatever is found in a store, status and prebake verify judge it alike") {
    using prebake::guard::StoreVerdict;
    using prebake::store::FindingKind;
    v1::BakeRecord record;
    v1::BakedImage& baked = *record.add_images();
    baked.set_name("reg.example/a:1");
    baked.mutable_config()->set_digest("sha256:c");
    baked.add_layers()->set_digest("sha256:l");
    v1::Placement& placement = *baked.add_placements();
    placement.set_namespace_("k8s.io");
    placement.add_names("reg.example/a:1");
    placement.add_names("sha256:c");
    placement.set_pinned(true);
    placement.set_unpacked(true);
    placement.set_cri_resolves(true);
    const std::vector<std::string> gates{"ContainerdServing", "ImagesPresent",   "ImagesUnpacked",
                                         "CriResolves",       "IdentityClaimed", "SealIntact"};
    for (const char* subject : {"reg.example/a:1", "sha256:c", "sha256:l"}) {
        for (int kind = 0; kind <= static_cast<int>(FindingKind::unreadable); ++kind) {
            CAPTURE(subject);
            CAPTURE(kind);
            const prebake::store::Finding finding{.kind = static_cast<FindingKind>(kind),
                                                  .image = baked.name(),
                                                  .ns = "k8s.io",
                                                  .object = "object",
                                                  .subject = subject,
                                                  .expected = {},
                                                  .found = "found",
                                                  .next_step = "step"};
            NodeFacts facts = healthy();
            facts.images = prebake::guard::health_of(record, {finding});
            facts.recorded = 1;
            // If it is the only image, none runs here, which says nothing about the store.
            if (finding.kind == FindingKind::cri_other_platform) continue;
            const Verdict of_status = verdict(facts, gates);
            const StoreVerdict of_verify = prebake::guard::judge(record, {finding});
            CHECK(of_status.word == (of_verify == StoreVerdict::as_baked   ? "ready"
                                     : of_verify == StoreVerdict::degraded ? "degraded"
                                                                           : "not_ready"));
            CHECK((of_verify == StoreVerdict::as_baked) ==
                  prebake::store::is_about_machine(finding.kind));
        }
    }
}

TEST_CASE("the sealed builder is not told to claim an identity") {
    NodeFacts facts = healthy();
    facts.identity.claim.set_state(v1::Claim::SEALED);
    CHECK(condition(facts, "IdentityClaimed").next_step().starts_with("shut it down if"));
}

TEST_CASE("conditions come in one order, say whether they gate, and remember their transition") {
    const Time later = kNow + std::chrono::seconds(60);
    NodeFacts facts = healthy();
    const std::vector<v1::Condition> before = evaluate(facts, {}, {"ImagesPinned"}, kNow);
    REQUIRE(before.size() == condition_types().size());
    for (std::size_t i = 0; i < before.size(); ++i) {
        CHECK(before[i].type() == condition_types()[i]);
        CHECK(before[i].gates_readiness() == (before[i].type() == "ImagesPinned"));
        CHECK(before[i].last_transition_time().seconds() == 1'000);
    }
    facts.images[0].is_pinned = false;
    for (ImageHealth& each : facts.images) each.wants_unpacked = false;
    for (const v1::Condition& after : evaluate(facts, before, {}, later)) {
        CAPTURE(after.type());
        CHECK(after.last_transition_time().seconds() ==
              (after.type() == "ImagesPinned" || after.type() == "ImagesUnpacked" ? 1'060 : 1'000));
    }
}

TEST_CASE("the verdict is the worst that the conditions allow") {
    const Change pin_lost = [](NodeFacts& facts) { facts.images[0].is_pinned = false; };
    const Change pins_ignored = [](NodeFacts& facts) { facts.images[0].is_pin_ignored = true; };
    const auto hydration = [](const char* state) {
        return [state](NodeFacts& facts) {
            facts.hydration.has_plan = true;
            facts.hydration.progress.emplace().set_state(state);
        };
    };
    struct Row {
        const char* name;
        Change change;
        std::vector<std::string> gates;
        const char* expected;
        bool is_ready;
        const char* in_message;
    };
    const std::vector<Row> rows{
        {"ready", [](NodeFacts&) {}, every_gate(), "ready", true, "usable"},
        {"a gate", pin_lost, {"ImagesPinned"}, "not_ready", false, "ImagesPinned: a in k8s.io"},
        {"no gate", pin_lost, {"ImagesPresent"}, "degraded", true, "ImagesPinned"},
        {"a gate that does not apply",
         [](NodeFacts& facts) {
             for (ImageHealth& each : facts.images) each.wants_cri = each.wants_pin = false;
         },
         every_gate(), "ready", true, "usable"},
        {"pins are ignored", pins_ignored, {"ImagesPresent"}, "ready", true, "usable"},
        {"pins are ignored, and gate", pins_ignored, every_gate(), "not_ready", false, "ignores"},
        {"hydrating", hydration("hydrating"), {"ImagesPresent"}, "ready", true, "usable"},
        {"hydrating, and that gates", hydration("hydrating"), every_gate(), "not_ready", false,
         "Hydrated: reading ahead"},
        {"hydrated, and that gates", hydration("hydrated"), every_gate(), "ready", true, "usable"},
        {"hydration has not run",
         [](NodeFacts& facts) { facts.hydration.has_plan = true; },
         {"ImagesPresent"},
         "ready",
         true,
         "usable"},
        {"parts of the disk cannot be read",
         hydration("incomplete"),
         {"ImagesPresent"},
         "degraded",
         true,
         "Hydrated: parts of the disk"},
        {"unknown is not true",
         [](NodeFacts& facts) { facts.identity.claim.set_state(v1::Claim::UNCLAIMED); },
         {"SealIntact"},
         "not_ready",
         false,
         "SealIntact"},
        {"the gate is named, and how many more",
         [&](NodeFacts& facts) {
             pin_lost(facts);
             facts.is_serving = false;
         },
         {"ImagesPinned"},
         "not_ready",
         false,
         "and 2 more"},
        {"starting",
         [](NodeFacts& facts) {
             facts.is_reconciled = false;
             facts.is_serving = false;
             facts.serving_problem = "nobody listens";
         },
         every_gate(), "starting", false, "nobody listens"},
        {"starting without any gate",
         [](NodeFacts& facts) { facts.is_reconciled = false; },
         {},
         "starting",
         false,
         "checked"},
    };
    for (const Row& row : rows) {
        CAPTURE(std::string(row.name));
        NodeFacts facts = healthy();
        row.change(facts);
        const Verdict found = verdict(facts, row.gates);
        CHECK(found.word == row.expected);
        CHECK(found.is_ready == row.is_ready);
        CHECK_MESSAGE(found.message.find(row.in_message) != std::string::npos, found.message);
    }
}
