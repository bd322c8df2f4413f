#include "agent/daemon/engine_ledger.h"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/unit/daemon/scripted_docker.h"

namespace prebake::daemon::engine_ledger_test {

using namespace std::chrono_literals;

const Time kBoot{std::chrono::seconds(2'000)};
const std::string kName = "docker.io/library/app:1";
const std::string kOther = "docker.io/library/other:1";
const std::string kForeign = "docker.io/library/foreign:1";

/// The ledger of a node with one baked image, by one daemon after the other.
struct Scene {
    std::shared_ptr<const store::BakedImages> baked;
    std::unique_ptr<ledger::Accounts> accounts;
    std::unique_ptr<EngineLedger> ledger;
    Time now = kBoot;
    EngineSeen seen;

    Scene() {
        v1::BakeRecord record;
        *record.add_images() = recorded_image(kName, {"base", "app"});
        baked = std::make_shared<const store::BakedImages>(record);
        start({});
        seen.images[kName] = engine_image({"base", "app"});
        list({});
    }
    void start(const v1::LedgerState& stored) {
        accounts = std::make_unique<ledger::Accounts>(stored);
        accounts->open("i-1", "boot", kBoot, now += 1s);
        accounts->set_baked(baked);
        ledger = std::make_unique<EngineLedger>(*accounts);
        ledger->set_baked(baked);
    }
    void list(std::vector<docker::EngineContainer> containers) {
        seen.at = now += 1s;
        seen.news.clear();
        seen.containers = std::move(containers);
        ledger->seen(seen, "overlay2");
    }
    void images_changed(std::set<std::string> news) {
        seen.at = now += 1s;
        seen.news = std::move(news);
        seen.containers.reset();
        ledger->seen(seen, "overlay2");
    }
    void happens(const std::string& action, const std::string& id, const std::string& image = {}) {
        ledger->happened(
            {.event =
                 {.type = "container", .action = action, .id = id, .image = image, .at = now += 1s},
             .image_name = image});
    }
    void runs(const std::string& id, const std::string& image) {
        happens("create", id, image);
        happens("start", id);
    }
    docker::EngineContainer container(const std::string& id, const std::string& image) const {
        return {.id = id, .image = image, .image_id = {}, .has_started = true, .created_at = now};
    }
    /// "hits partials misses"
    std::string totals() const {
        const v1::Totals totals = accounts->report().since_claim();
        return std::to_string(totals.hits()) + " " + std::to_string(totals.partials()) + " " +
               std::to_string(totals.misses());
    }
};

TEST_CASE("containers of a graph driver are hits, partials and misses") {
    Scene at;
    at.runs("c1", kName);
    CHECK(at.totals() == "1 0 0");
    CHECK(at.accounts->report().since_claim().bytes_served() == 200);
    at.happens("start", "c1");
    CHECK_MESSAGE(at.totals() == "1 0 0", "it was stopped, and started again");
    at.happens("create", "c2", kName);
    CHECK_MESSAGE(at.totals() == "1 0 0", "it does not run");

    at.seen.images[kOther] = engine_image({"base", "other"});
    at.images_changed({kOther});
    at.runs("c3", kOther);
    CHECK(at.totals() == "1 1 0");
    at.seen.images[kForeign] = engine_image({"foreign"});
    at.images_changed({kForeign});
    at.runs("c4", kForeign);
    CHECK(at.totals() == "1 1 1");
    at.runs("c5", "");
    CHECK_MESSAGE(at.totals() == "1 1 1", "dockerd does not know its image");

    const v1::Ledger report = at.accounts->report();
    REQUIRE(report.images_size() == 3);
    for (const v1::LedgerImage& image : report.images()) {
        CHECK(image.namespace_() == "moby");
        CHECK(image.starts() == 1);
        CHECK(image.baked() == (image.name() == kName));
        CHECK(image.pulls() == (image.name() == kName ? 0 : 1));
    }
}

TEST_CASE("starts without an event are found by a listing, and none counts twice") {
    Scene at;
    at.runs("c1", kName);
    at.list({at.container("c1", kName), at.container("c2", kName)});
    CHECK(at.totals() == "2 0 0");
    at.happens("start", "c2");
    CHECK_MESSAGE(at.totals() == "2 0 0", "its event came late");

    at.start(at.accounts->state());
    at.list({at.container("c1", kName), at.container("c2", kName), at.container("c3", kName)});
    CHECK(at.totals() == "3 0 0");
    at.happens("destroy", "c1");
    at.start(at.accounts->state());
    at.list({at.container("c2", kName), at.container("c3", kName)});
    CHECK(at.totals() == "3 0 0");
}

TEST_CASE("a container of the builder is not a start of this node") {
    Scene at;
    docker::EngineContainer old = at.container("c1", kName);
    old.created_at = kBoot - 1h;
    at.list({old});
    CHECK(at.totals() == "0 0 0");
}

TEST_CASE("a baked image that was removed and pulled again is a miss") {
    Scene at;
    at.seen.images.clear();
    at.images_changed({});
    at.seen.images[kName] = engine_image({"base", "app"});
    at.images_changed({kName});
    at.runs("c1", kName);
    CHECK(at.totals() == "0 0 1");
    const v1::LedgerImage image = at.accounts->report().images(0);
    CHECK(image.pulls() == 1);
    CHECK(image.baked());
}

TEST_CASE("an image that only a container named was not pulled") {
    Scene at;
    at.seen.images[kForeign] = engine_image({"foreign"});
    at.images_changed({});
    at.runs("c1", kForeign);
    CHECK(at.totals() == "0 0 1");
    CHECK(at.accounts->report().images(0).pulls() == 0);
}

TEST_CASE("another tag for a baked image is still a hit") {
    Scene at;
    at.seen.images[kOther] = engine_image({"base", "app"});
    at.images_changed({});
    at.runs("c1", kOther);
    CHECK(at.totals() == "1 0 0");
}

}  // namespace prebake::daemon::engine_ledger_test
