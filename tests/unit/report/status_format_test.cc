#include "agent/report/status_format.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "agent/base/format.h"
#include "agent/base/json.h"

namespace prebake::report::status_format_test {

using std::chrono::seconds;
using std::chrono::system_clock;

const system_clock::time_point kNow{seconds(1'800'000'000)};

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

std::string first_line_of(const std::string& text) {
    return text.substr(0, text.find('\n'));
}

void add_condition(v1::NodeStatus& status, const char* type, const char* value,
                   const std::string& message = "", const std::string& next_step = "") {
    v1::Condition& condition = *status.add_conditions();
    condition.set_type(type);
    condition.set_status(value);
    condition.set_reason(std::string(value) == "True" ? "AllWell" : "SomethingWrong");
    condition.set_message(message);
    condition.set_next_step(next_step);
    condition.set_gates_readiness(true);
}

v1::ImageState& add_image(v1::NodeStatus& status, const std::string& name, const char* state) {
    v1::ImageState& image = *status.add_images();
    image.set_name(name);
    image.set_namespace_("k8s.io");
    image.set_digest("sha256:" + std::string(64, 'a'));
    image.set_state(state);
    status.set_images_total(static_cast<std::uint32_t>(status.images_size()));
    return image;
}

v1::NodeStatus healthy() {
    v1::NodeStatus status;
    status.set_schema("prebake.v1.NodeStatus");
    status.set_verdict("ready");
    status.set_message("12 images are usable");
    status.set_ready(true);
    status.set_source("daemon");
    for (const char* type : {"ContainerdServing", "ImagesPresent", "ImagesUnpacked", "ImagesPinned",
                             "CriResolves", "IdentityClaimed", "SealIntact"}) {
        add_condition(status, type, "True");
    }
    status.set_claim("claimed");
    status.set_snapshotter("overlayfs");
    status.mutable_counts()->set_baked(12);
    status.mutable_counts()->set_usable(12);
    status.mutable_counts()->set_never_used(2);
    status.mutable_counts()->set_never_used_bytes(3 << 20);
    status.mutable_since_claim()->set_starts(56);
    status.mutable_since_claim()->set_hits(54);
    status.mutable_since_claim()->set_partials(1);
    status.mutable_since_claim()->set_misses(1);
    status.mutable_since_claim()->set_bytes_served(1 << 30);
    status.mutable_since_claim()->set_bytes_pulled(40 << 20);
    status.mutable_times()->set_kernel_to_ready_seconds(12.3);
    status.mutable_updated_at()->set_seconds(1'800'000'000 - 12);
    for (int i = 0; i < 12; ++i)
        add_image(status, "docker.io/library/i" + std::to_string(i), "usable");
    return status;
}

v1::NodeStatus broken(int images, std::size_t message_bytes) {
    v1::NodeStatus status = healthy();
    status.set_verdict("not_ready");
    status.set_ready(false);
    const std::string message(message_bytes, 'm');
    status.set_message("ImagesUnpacked: " + message);
    status.clear_images();
    status.clear_conditions();
    for (int i = 0; i < 7; ++i) add_condition(status, "ImagesUnpacked", "False", message, message);
    for (int i = 0; i < images; ++i) {
        const bool is_bad = i % 2 == 1;
        v1::ImageState& image = add_image(status, "registry.example/" + std::string(183, 'n'),
                                          is_bad ? "unusable" : "usable");
        if (is_bad) image.set_message(message);
        if (is_bad) image.set_next_step(message);
    }
    for (int i = 0; i < 16; ++i) {
        v1::Repair& repair = *status.add_repairs();
        repair.set_image("docker.io/library/i");
        repair.set_what("pinned again");
        repair.set_why(message);
    }
    status.set_repairs_total(40);
    for (int i = 0; i < 5; ++i) status.add_warnings(message);
    return status;
}

TEST_CASE("the first line is the verdict") {
    struct Row {
        const char* name;
        void (*change)(v1::NodeStatus&);
        const char* first_line;
        const char* brief;
    };
    const Row rows[] = {
        {"ready", [](v1::NodeStatus&) {},
         "READY  12 of 12 images usable, 96.4% of 56 starts were hits",
         "ready: 12 of 12 images usable, 96.4% hits"},
        {"nothing short of all is 100%",
         [](v1::NodeStatus& s) {
             s.mutable_since_claim()->set_starts(100'000);
             s.mutable_since_claim()->set_hits(99'999);
         },
         "READY  12 of 12 images usable, 99.9% of 100000 starts were hits",
         "ready: 12 of 12 images usable, 99.9% hits"},
        {"one start",
         [](v1::NodeStatus& s) {
             s.mutable_since_claim()->set_starts(1);
             s.mutable_since_claim()->set_hits(1);
         },
         "READY  12 of 12 images usable, 100% of 1 start was a hit",
         "ready: 12 of 12 images usable, 100% hits"},
        {"nothing baked, nothing started",
         [](v1::NodeStatus& s) {
             s.clear_counts();
             s.clear_images();
             s.clear_since_claim();
         },
         "READY  no images were baked, no starts yet", "ready: no images were baked"},
        {"degraded",
         [](v1::NodeStatus& s) {
             s.set_verdict("degraded");
             s.set_message("ImagesPinned: 1 of 12 is not pinned");
         },
         "DEGRADED  ImagesPinned: 1 of 12 is not pinned",
         "degraded: ImagesPinned: 1 of 12 is not pinned"},
        {"not ready",
         [](v1::NodeStatus& s) {
             s.set_verdict("not_ready");
             s.set_message("ImagesUnpacked: 2 are not\nREADY");
         },
         "NOT READY  ImagesUnpacked: 2 are not?READY",
         "not ready: ImagesUnpacked: 2 are not?READY"},
        {"starting, and nothing to say",
         [](v1::NodeStatus& s) {
             s.Clear();
             s.set_verdict("starting");
         },
         "STARTING  no images were baked, no starts yet", "starting: no images were baked"},
        {"a verdict of a later version", [](v1::NodeStatus& s) { s.set_verdict("excellent"); },
         "UNKNOWN  12 images are usable", "unknown: 12 images are usable"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        v1::NodeStatus status = healthy();
        row.change(status);
        CHECK(first_line_of(status_text(status, kNow)) == row.first_line);
        CHECK(status_brief(status) == row.brief);
    }
}

TEST_CASE("a healthy node needs few lines") {
    CHECK(
        status_text(healthy(), kNow) ==
        "READY  12 of 12 images usable, 96.4% of 56 starts were hits\n"
        "Images           12 of 12 images usable\n"
        "This boot        none yet\n"
        "Since the claim  56 starts: 54 hits (96.4%), 1 partial, 1 missed; 1.0 GiB from the bake, "
        "40.0 MiB pulled\n"
        "Never used       2 images, 3.0 MiB\n"
        "First ready      12.3 s after the kernel started\n"
        "Node             claimed, snapshotter overlayfs\n"
        "Updated          12.0 s ago\n"
        "Conditions\n"
        "  True: ContainerdServing, ImagesPresent, ImagesUnpacked, ImagesPinned, CriResolves, "
        "IdentityClaimed, SealIntact\n");
}

TEST_CASE("hydration is a line, and a word of the brief form") {
    v1::NodeStatus status = healthy();
    v1::NodeHydration& hydration = *status.mutable_hydration();
    hydration.set_state("hydrating");
    hydration.set_bytes(1 << 20);
    hydration.set_total_bytes(4 << 20);
    CHECK(contains(status_text(status, kNow), "\nHydration        25% (1.0 MiB of 4.0 MiB)\n"));
    CHECK(status_brief(status) == "ready: 12 of 12 images usable, 96.4% hits, hydrating");
    hydration.set_state("hydrated");
    hydration.set_bytes(4 << 20);
    hydration.set_seconds(9);
    CHECK(contains(status_text(status, kNow), "\nHydrated         all 4.0 MiB in 9.0 s\n"));
    CHECK(status_brief(status) == "ready: 12 of 12 images usable, 96.4% hits");
}

TEST_CASE("first starts are shown if there is something to compare") {
    v1::NodeStatus status = healthy();
    v1::FirstStarts& starts = *status.mutable_first_starts();
    starts.set_hydrated(2);
    starts.set_hydrated_mean_seconds(1.25);
    CHECK_FALSE(contains(status_text(status, kNow), "First starts"));
    starts.set_cold(1);
    starts.set_cold_mean_seconds(9);
    CHECK(contains(status_text(status, kNow),
                   "First starts     after hydration 1.2 s (2 images), before it 9.0 s (1 image)"));
}

TEST_CASE("conditions that do not apply are listed, and are no problem") {
    v1::NodeStatus status = healthy();
    add_condition(status, "Disk", "NotApplicable", "no image is on one", "");
    add_condition(status, "Store", "NotApplicable", "no image is in one", "");
    const std::string text = status_text(status, kNow);
    CHECK(contains(text, "SealIntact\n  NotApplicable: Disk, Store\n"));
    CHECK_FALSE(contains(text, "no image is"));
}

TEST_CASE("what becomes an image has no conditions") {
    for (const char* verdict : {"sealed", "armed"}) {
        CAPTURE(verdict);
        v1::NodeStatus status = healthy();
        add_condition(status, "Disk", "Unknown", "was True", "");
        status.set_verdict(verdict);
        CHECK_FALSE(contains(status_text(status, kNow), "Conditions"));
    }
}

TEST_CASE("problems have a next step") {
    v1::NodeStatus status = healthy();
    add_condition(status, "Disk", "False", "it is full", "make room");
    v1::ImageState& image = add_image(status, "docker.io/library/bad:1", "unusable");
    image.set_message("its layers are gone");
    image.set_next_step("prebake bake docker.io/library/bad:1");
    const std::string text = status_text(status, kNow);
    CAPTURE(text);
    CHECK(contains(text, "\n  Disk  False  SomethingWrong: it is full\n    -> make room\n"));
    CHECK(contains(text,
                   "\nImages with a problem\n"
                   "  unusable  docker.io/library/bad:1 (k8s.io): its layers are gone\n"
                   "    -> prebake bake docker.io/library/bad:1\n"));
    CHECK_FALSE(contains(text, "library/i3"));
    CHECK_FALSE(contains(text, "Omitted"));
}

TEST_CASE("every format keeps its limit for any input") {
    for (const int images : {0, 1, 12, 200}) {
        for (const std::size_t bytes : {0UL, 80UL, 3000UL, 65536UL}) {
            CAPTURE(images);
            CAPTURE(bytes);
            v1::NodeStatus status = broken(images, bytes);
            const std::string text = status_text(status, kNow);
            CHECK(text.size() <= kMaxTextBytes);
            CHECK(text.ends_with('\n'));
            CHECK(text.starts_with("NOT READY  ImagesUnpacked: "));
            const bool has_room = images <= 1 && bytes == 0;
            CHECK(contains(text, "see prebake status --json\n") == !has_room);
            CHECK(status_brief(status).size() < kMaxBriefBytes);
            CHECK(status_json(status).size() < kMaxJsonBytes);
        }
    }
}

TEST_CASE("omitted entries are counted") {
    v1::NodeStatus status = broken(200, 80);
    const std::string text = status_text(status, kNow);
    std::size_t shown = 0;
    std::istringstream lines(text);
    std::string last;
    for (std::string line; std::getline(lines, line); last = line) {
        shown += line.starts_with("  unusable  ") ? 1 : 0;
    }
    CAPTURE(text);
    CHECK(shown > 0);
    CHECK(last == "Omitted: " + std::to_string(100 - shown) +
                      " images, 5 warnings, 16 repairs; see prebake status --json");
}

TEST_CASE("repairs that no document has are not omitted") {
    v1::NodeStatus status = healthy();
    status.add_repairs()->set_what("pinned again");
    for (const unsigned total : {2U, 40U}) {
        CAPTURE(total);
        status.set_repairs_total(total);
        const std::string text = status_text(status, kNow);
        CHECK(contains(text, "pinned again"));
        CHECK_FALSE(contains(text, "Omitted"));
    }
}

TEST_CASE("no format ends within a character") {
    const std::string wide = "\xf0\x9f\x8d\x9e";
    for (int shift = 0; shift < 4; ++shift) {
        v1::NodeStatus status = healthy();
        status.set_verdict("not_ready");
        std::string message(static_cast<std::size_t>(shift), 'x');
        for (int i = 0; i < 9000; ++i) message += wide;
        status.set_message(message);
        CAPTURE(shift);
        for (const std::string& text : {first_line_of(status_text(status, kNow)),
                                        status_brief(status), status_json(status)}) {
            CHECK(printable(text) == text);
            CHECK(contains(text, wide + "..."));
        }
    }
}

v1::NodeStatus parsed(const std::string& json) {
    v1::NodeStatus status;
    from_json(json, status, "test", "");
    return status;
}

bool is_bad(const v1::ImageState& image) {
    return image.state() == "unusable";
}

TEST_CASE("JSON loses healthy images first") {
    struct Row {
        const char* name;
        int healthy;
        int bad;
        std::size_t message_bytes;
        bool all_bad_stay;
        bool repairs_stay;
    };
    for (const Row& row :
         {Row{"all fits", 10, 3, 40, true, true}, Row{"many healthy ones", 5000, 3, 40, true, true},
          Row{"many bad ones", 10, 5000, 40, false, false},
          Row{"one long message costs no image", 10, 1, 65536, true, true}}) {
        CAPTURE(row.name);
        v1::NodeStatus status = healthy();
        status.clear_images();
        for (int i = 0; i < row.healthy; ++i) {
            add_image(status, "r.example/" + std::string(190, 'h'), "usable");
        }
        for (int i = 0; i < row.bad; ++i) {
            add_image(status, "r.example/" + std::string(190, 'b'), "unusable")
                .set_message(std::string(row.message_bytes, '"'));
        }
        status.add_repairs()->set_what("pinned again");
        const std::string json = status_json(status);
        CHECK(json.size() < kMaxJsonBytes);
        const v1::NodeStatus read = parsed(json);
        const auto bad = std::count_if(read.images().begin(), read.images().end(), is_bad);
        const auto left = read.images_size();
        CHECK(read.images_total() == static_cast<std::uint32_t>(row.healthy + row.bad));
        CHECK(read.truncated() == (left < row.healthy + row.bad));
        CHECK((bad == row.bad) == row.all_bad_stay);
        CHECK((read.repairs_size() == 1) == row.repairs_stay);
        CHECK(read.repairs_total() == 1);
        if (bad < row.bad) CHECK(left == bad);
        if (left > 0 && row.bad > 0) CHECK(is_bad(read.images(0)));
        if (read.truncated())
            CHECK(json.size() > kMaxJsonBytes - 1000);  // no more than necessary is dropped
    }
}

TEST_CASE("JSON of what is not text") {
    v1::NodeStatus status = healthy();
    status.set_message("a\x01\x02\"\\\xff</script>");
    CHECK(parsed(status_json(status)).message() == "a??\"\\?</script>");
    CHECK(parsed(status_json(broken(300, 65536), 4096)).conditions_size() == 7);
    CHECK(status_json(broken(300, 65536), 8192).size() < 8192);
}

TEST_CASE("a truncated status stays truncated") {
    v1::NodeStatus status = healthy();
    status.set_images_total(900);
    const v1::NodeStatus read = parsed(status_json(status));
    CHECK(read.truncated());
    CHECK(read.images_total() == 900);
}

TEST_CASE("from the files: the last known state, marked as unknown") {
    v1::NodeStatus last = healthy();
    last.set_boot_id("boot-1");
    v1::Ledger ledger;
    ledger.set_boot_id("boot-1");
    ledger.mutable_boot()->set_starts(3);
    ledger.mutable_since_claim()->set_starts(70);

    const v1::NodeStatus same = status_of_files(last, ledger, "boot-1", "nobody listens");
    CHECK(same.verdict() == "unknown");
    CHECK_FALSE(same.ready());
    CHECK(same.source() == "files");
    CHECK(same.message() == "nobody listens; its last status is from 2027-01-15T07:59:48Z");
    CHECK(same.boot().starts() == 3);
    CHECK(same.since_claim().starts() == 70);
    CHECK(same.times().kernel_to_ready_seconds() == 12.3);
    for (const auto& condition : same.conditions()) CHECK(condition.status() == "Unknown");
    CHECK(contains(status_text(same, kNow), "Images           12 of 12"));

    const v1::NodeStatus other = status_of_files(last, ledger, "boot-2", "nobody listens");
    CHECK(other.boot().starts() == 0);
    CHECK(other.times().kernel_to_ready_seconds() == 0);

    last.mutable_hydration()->set_state("hydrated");
    CHECK(status_of_files(last, ledger, "boot-1", "").has_hydration());
    CHECK_FALSE(status_of_files(last, ledger, "boot-2", "").has_hydration());
    last.mutable_hydration()->set_state("hydrating");
    CHECK_MESSAGE(!status_of_files(last, ledger, "boot-1", "").has_hydration(),
                  "how far it is now, nobody knows");

    const v1::NodeStatus nothing = status_of_files({}, {}, "boot-1", "nobody listens");
    CHECK(status_text(nothing, kNow) ==
          "UNKNOWN  nobody listens\n"
          "This boot        none yet\n"
          "Since the claim  none yet\n");
    CHECK(status_brief(nothing) == "unknown: nobody listens");
}

}  // namespace prebake::report::status_format_test
