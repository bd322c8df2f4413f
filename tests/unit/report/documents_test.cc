#include "agent/report/documents.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>

#include "agent/base/file.h"
#include "agent/base/json.h"
#include "agent/report/metrics.h"
#include "agent/report/status_format.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::report {
namespace {

void add_condition(v1::NodeStatus& status, const char* type, const char* value, bool gates,
                   const char* message = "") {
    auto& condition = *status.add_conditions();
    condition.set_type(type);
    condition.set_status(value);
    condition.set_gates_readiness(gates);
    condition.set_reason("Because");
    condition.set_message(message);
}

Response rendered(Resource resource, const NodeView& view) {
    ImageRows rows;
    return render(resource, view, rows);
}

TEST_CASE("readyz lists what gates readiness, like the Kubernetes API server") {
    NodeView view;
    view.status.set_ready(true);
    add_condition(view.status, "ContainerdServing", "True", true);
    add_condition(view.status, "ImagesPinned", "False", false, "not important");
    add_condition(view.status, "ImagesPresent", "True", true);
    add_condition(view.status, "CriResolves", "NotApplicable", true);
    const Response ready = rendered(Resource::readyz, view);
    CHECK(ready.status == 200);
    CHECK(ready.content_type == "text/plain; charset=utf-8");
    CHECK(ready.body ==
          "[+]ContainerdServing ok\n[+]ImagesPresent ok\n[+]CriResolves does not apply\n"
          "readyz check passed\n");

    view.status.set_ready(false);
    view.status.mutable_conditions(2)->set_status("False");
    view.status.mutable_conditions(2)->set_message("2 of 12 images\r\nare missing");
    add_condition(view.status, "SealIntact", "Unknown", true, "not looked at yet");
    const Response not_ready = rendered(Resource::readyz, view);
    CHECK(not_ready.status == 503);
    CHECK(not_ready.body ==
          "[+]ContainerdServing ok\n"
          "[-]ImagesPresent failed: Because: 2 of 12 images  are missing\n"
          "[+]CriResolves does not apply\n"
          "[-]SealIntact failed: Because: not looked at yet\n"
          "readyz check failed\n");
}

TEST_CASE("readyz of a node without conditions has the reason") {
    const Response response = rendered(Resource::readyz, *StatusHolder().latest());
    CHECK(response.status == 503);
    CHECK(response.body ==
          "[-]Ready failed: starting: the daemon has just started\nreadyz check failed\n");
}

TEST_CASE("the other documents") {
    NodeView view;
    view.status.set_schema("prebake.v1.NodeStatus");
    view.status.set_verdict("not_ready");
    view.status.add_images()->set_name("docker.io/library/one:1");
    view.status.add_images()->set_name("docker.io/library/two:1");
    view.ledger.set_schema("prebake.v1.Ledger");
    view.ledger.set_boot_id("b");

    CHECK(rendered(Resource::livez, view).body == "ok\n");
    CHECK(rendered(Resource::livez, view).status == 200);
    ImageRows rows;
    CHECK(rendered(Resource::metrics, view).body == metrics_text(view, rows));
    CHECK(rendered(Resource::metrics, view).content_type == kMetricsContentType);

    const Response status = rendered(Resource::status, view);
    CHECK(status.status == 200);  // also for a node that is not ready
    CHECK(status.body == status_json(view.status) + "\n");

    v1::NodeImages images;
    from_json(rendered(Resource::images, view).body, images, "the answer", "");
    CHECK(images.schema() == "prebake.v1.NodeImages");
    REQUIRE(images.images_size() == 2);
    CHECK(images.images(1).name() == "docker.io/library/two:1");

    v1::Ledger ledger;
    from_json(rendered(Resource::ledger, view).body, ledger, "the answer", "");
    CHECK(ledger.SerializeAsString() == view.ledger.SerializeAsString());
    CHECK(rendered(Resource::ledger, view).body.ends_with("}\n"));
}

TEST_CASE("readers of a view share one copy while they read") {
    const auto view = std::make_shared<const NodeView>();
    RenderCache cache;
    auto first = cache.get(Resource::ledger, view);
    CHECK(cache.get(Resource::ledger, view) == first);
    CHECK(cache.get(Resource::images, view) != first);
    CHECK(cache.get(Resource::ledger, std::make_shared<const NodeView>()) != first);
    const std::weak_ptr<const Response> copy = cache.get(Resource::livez, view);
    CHECK(copy.expired());
}

TEST_CASE("the trace of a boot is what the file has now") {
    const TemporaryDirectory directory;
    const auto view = std::make_shared<const NodeView>();
    RenderCache cache(directory / "boot-trace.json");
    CHECK(cache.get(Resource::trace, view)->status == 404);
    write_file_durably(directory / "boot-trace.json", "{}\n", 0644);
    CHECK(cache.get(Resource::trace, view)->body == "{}\n");
    CHECK(cache.get(Resource::trace, view)->status == 200);
    CHECK(RenderCache(directory.path()).get(Resource::trace, view)->status == 500);
}

TEST_CASE("a view that cannot be JSON is an internal error and does not end the daemon") {
    auto view = std::make_shared<NodeView>();
    auto& time = *view->ledger.mutable_since();
    time.set_seconds(std::numeric_limits<std::int64_t>::max());
    const auto response = RenderCache().get(Resource::ledger, view);
    CHECK(response->status == 500);
    CHECK(response->body.find("prebake.v1.Failure") != std::string::npos);
}

}  // namespace
}  // namespace prebake::report
