#include "agent/daemon/publication.h"

#include <doctest/doctest.h>

#include <functional>

#include "agent/base/file.h"
#include "agent/base/json.h"
#include "agent/report/last_status.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::daemon {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

v1::NodeStatus ready_status() {
    v1::NodeStatus status;
    status.set_verdict("ready");
    status.set_ready(true);
    v1::Condition& condition = *status.add_conditions();
    condition.set_type("ImagesPresent");
    condition.set_status("True");
    condition.set_reason("AllPresent");
    return status;
}

std::shared_ptr<const report::NodeView> view_of(const v1::NodeStatus& status) {
    return std::make_shared<const report::NodeView>(
        report::NodeView{.status = status, .ledger = {}});
}

TEST_CASE("which changes are published at once") {
    struct Row {
        const char* name;
        std::function<void(v1::NodeStatus&)> change;
        bool is_news;
    };
    for (const Row& row : {
             Row{"the verdict", [](auto& status) { status.set_verdict("degraded"); }, true},
             Row{"the message", [](auto& status) { status.set_message("m"); }, true},
             Row{"the claim", [](auto& status) { status.set_claim("claimed"); }, true},
             Row{"the instance", [](auto& status) { status.mutable_instance()->set_id("i-1"); },
                 true},
             Row{"a condition's status",
                 [](auto& status) { status.mutable_conditions(0)->set_status("False"); }, true},
             Row{"its reason", [](auto& status) { status.mutable_conditions(0)->set_reason("R"); },
                 true},
             Row{"its message",
                 [](auto& status) { status.mutable_conditions(0)->set_message("m"); }, true},
             Row{"a new condition", [](auto& status) { status.add_conditions(); }, true},
             Row{"times",
                 [](auto& status) {
                     status.mutable_updated_at()->set_seconds(5);
                     status.mutable_conditions(0)->mutable_last_transition_time()->set_seconds(5);
                 },
                 false},
             Row{"counts", [](auto& status) { status.mutable_boot()->set_starts(5); }, false},
         }) {
        CAPTURE(row.name);
        v1::NodeStatus status = ready_status();
        const std::string before = essence_of(status);
        row.change(status);
        CHECK((essence_of(status) != before) == row.is_news);
    }
}

TEST_CASE("the last status is written beside the socket when it changes, and only then") {
    const TemporaryDirectory directory;
    PublicationOptions options;
    options.ssm_inventory = false;
    options.socket = directory.path() / "run/prebake.sock";
    const ServiceNotifier notifier;
    Publication publication(options, notifier, [](const std::string&) {});
    const auto stored = [&] {
        v1::NodeStatus status;
        from_json(read_file(report::last_status_path(options.socket), 1 << 20), status, "", "");
        return status;
    };
    const Publication::Clock::time_point now;
    v1::NodeStatus status = ready_status();
    publication.update(view_of(status), now);
    CHECK(stored().verdict() == "ready");
    status.mutable_boot()->set_starts(5);
    publication.update(view_of(status), now);
    CHECK(stored().boot().starts() == 0);
    status.set_verdict("degraded");
    publication.update(view_of(status), now);
    CHECK(stored().verdict() == "degraded");
    CHECK(stored().boot().starts() == 5);
    CHECK_FALSE(publication.next_due());
}

TEST_CASE("nothing is due while nothing changes") {
    const TemporaryDirectory directory;
    PublicationOptions options;
    options.socket = directory.path() / "prebake.sock";
    const ServiceNotifier notifier;
    Publication publication(
        options, notifier, [](const std::string&) {});  // without an instance there is no inventory
    const Publication::Clock::time_point begin;
    v1::NodeStatus status = ready_status();
    const auto first = view_of(status);
    publication.update(first, begin);
    // systemd's watchdog wakes the daemon twice a minute.
    publication.update(first, begin + seconds(30));
    CHECK_FALSE(publication.next_due());

    status.mutable_boot()->set_starts(5);
    const auto second = view_of(status);
    publication.update(second, begin + seconds(40));
    CHECK(publication.next_due() == begin + minutes(5));
    publication.update(second, begin + minutes(5));
    CHECK_FALSE(publication.next_due());
    publication.update(second, begin + minutes(6));
    CHECK_FALSE(publication.next_due());
}

TEST_CASE("a runtime directory that cannot be created is no failure") {
    const TemporaryDirectory directory;
    write_file_durably(directory.path() / "file", "", 0600);
    PublicationOptions options;
    options.ssm_inventory = false;
    SUBCASE("a file is in the way") {
        options.socket = directory.path() / "file/s";
    }
    SUBCASE("no socket") {
        options.socket.clear();
    }
    const ServiceNotifier notifier;
    Publication publication(options, notifier, [](const std::string&) {});
    CHECK_NOTHROW(publication.update(view_of(ready_status()), {}));
}

}  // namespace
}  // namespace prebake::daemon
