#include "agent/report/metrics.h"

#include <doctest/doctest.h>

#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "agent/report/node_hydration.h"
#include "tests/unit/report/hydrated_samples.h"

namespace prebake::report {
namespace {

/// A strict reader of Prometheus' text format: every violation fails the test.
class Exposition {
  public:
    explicit Exposition(std::string_view text) {
        CHECK(text.ends_with('\n'));
        while (!text.empty()) {
            const std::size_t end = text.find('\n');
            REQUIRE(end != std::string_view::npos);
            read_line(text.substr(0, end));
            text.remove_prefix(end + 1);
        }
        CHECK(expected_ == Expected::series);  // every family has a series
    }

    /// The value of `series`; nothing if it does not exist.
    std::optional<double> value(const std::string& series) const {
        const auto found = values_.find(series);
        if (found == values_.end()) return std::nullopt;
        return found->second;
    }
    std::size_t count(const std::string& family) const {
        const auto found = sizes_.find(family);
        return found == sizes_.end() ? 0 : found->second;
    }
    bool has(const std::string& family) const { return sizes_.contains(family); }

  private:
    enum class Expected { help, type, first_series, series };

    void read_line(std::string_view line) {
        CAPTURE(line);
        if (line.starts_with("# HELP ")) {
            REQUIRE((expected_ == Expected::help || expected_ == Expected::series));
            line.remove_prefix(7);
            family_ = take_name(line);
            REQUIRE(line.starts_with(' '));
            CHECK(line.size() > 10);
            CHECK(line.ends_with('.'));
            CHECK(line.find('\\') == std::string_view::npos);
            CHECK_MESSAGE(sizes_.try_emplace(family_, 0).second, "a family comes twice");
            expected_ = Expected::type;
            return;
        }
        if (line.starts_with("# TYPE ")) {
            REQUIRE(expected_ == Expected::type);
            line.remove_prefix(7);
            CHECK(take_name(line) == family_);
            const bool is_counter = line == " counter";
            CHECK((is_counter || line == " gauge"));
            CHECK(is_counter == family_.ends_with("_total"));
            expected_ = Expected::first_series;
            return;
        }
        REQUIRE((expected_ == Expected::first_series || expected_ == Expected::series));
        expected_ = Expected::series;
        const std::string_view whole = line;
        CHECK(take_name(line) == family_);
        CHECK(family_.starts_with("prebake_"));
        if (line.starts_with('{')) read_labels(line);
        const std::string series(whole.substr(0, whole.size() - line.size()));
        REQUIRE(line.starts_with(' '));
        line.remove_prefix(1);
        double number = -1;
        const auto parsed = std::from_chars(line.data(), line.data() + line.size(), number);
        CHECK(parsed.ec == std::errc());
        CHECK(parsed.ptr == line.data() + line.size());
        CHECK(number >= 0);
        CHECK_MESSAGE(values_.try_emplace(series, number).second, "a series comes twice");
        ++sizes_[family_];
    }

    static std::string take_name(std::string_view& line) {
        std::size_t size = 0;
        while (size < line.size() &&
               (line[size] == '_' || (line[size] >= 'a' && line[size] <= 'z')))
            ++size;
        REQUIRE(size > 0);
        std::string name(line.substr(0, size));
        line.remove_prefix(size);
        return name;
    }

    static void read_labels(std::string_view& line) {
        std::set<std::string> names;
        do {
            line.remove_prefix(1);  // the brace, or the comma
            CHECK_MESSAGE(names.insert(take_name(line)).second, "a label comes twice");
            REQUIRE(line.starts_with("=\""));
            line.remove_prefix(2);
            while (!line.empty() && line[0] != '"') {
                if (line[0] == '\\') {
                    REQUIRE(line.size() > 1);
                    CHECK((line[1] == '\\' || line[1] == '"' || line[1] == 'n'));
                    line.remove_prefix(1);
                }
                line.remove_prefix(1);
            }
            REQUIRE(line.size() > 1);
            line.remove_prefix(1);
        } while (line[0] == ',');
        REQUIRE(line[0] == '}');
        line.remove_prefix(1);
    }

    Expected expected_ = Expected::help;
    std::string family_;
    std::map<std::string, double> values_;
    std::map<std::string, std::size_t> sizes_;
};

v1::LedgerImage& add_image(NodeView& view, const std::string& name, std::uint64_t hits,
                           std::uint64_t misses = 0) {
    auto& image = *view.ledger.add_images();
    image.set_name(name);
    image.set_namespace_("k8s.io");
    image.set_starts(hits + misses);
    image.set_hits(hits);
    image.set_misses(misses);
    return image;
}

NodeView healthy() {
    NodeView view;
    auto& status = view.status;
    status.set_prebake_version("1.2.3");
    status.set_ready(true);
    for (const auto& [type, value] :
         {std::pair("ContainerdServing", "True"), std::pair("SealIntact", "Unknown")}) {
        auto& condition = *status.add_conditions();
        condition.set_type(type);
        condition.set_status(value);
    }
    for (const char* state : {"usable", "usable", "repaired", "evicted", "of a later version"}) {
        status.add_images()->set_state(state);
    }
    auto& counts = *status.mutable_counts();
    counts.set_pinned(4);
    counts.set_baked_bytes(5'000'000'000);
    counts.set_never_used(2);
    counts.set_never_used_bytes(123'456);
    status.set_repairs_total(7);
    auto& total = *status.mutable_since_claim();
    total.set_hits(10);
    total.set_partials(2);
    total.set_misses(3);
    total.set_bytes_served(18'446'744'073'709'551'615U);
    total.set_bytes_pulled(99);
    status.mutable_times()->set_kernel_to_ready_seconds(12.25);
    status.mutable_times()->set_containerd_to_ready_seconds(0.0625);
    view.ledger.set_gaps_total(1);
    return view;
}

/// Like the first scrape of a daemon.
std::string text_of(const NodeView& view, std::size_t max_images = ImageRows::kMaxRows) {
    ImageRows rows(max_images);
    return metrics_text(view, rows);
}

TEST_CASE("a condition that does not apply is no series that an alert could find") {
    NodeView view = healthy();
    for (auto& condition : *view.status.mutable_conditions()) condition.set_status("NotApplicable");
    const std::string text = text_of(view);
    CHECK(text.find("prebake_condition{") == std::string::npos);
    CHECK(text.find("prebake_containerd_up") == std::string::npos);
    CHECK(text.find("prebake_ready 1") != std::string::npos);
}

TEST_CASE("the values of a node") {
    NodeView view = healthy();
    auto& image = add_image(view, "docker.io/library/a:1", 5, 1);
    image.set_partials(2);
    image.set_bytes_pulled(77);
    const std::string text = text_of(view);
    const Exposition metrics(text);
    const std::map<std::string, double> expected = {
        {"prebake_build_info{version=\"1.2.3\"}", 1},
        {"prebake_ready", 1},
        {"prebake_condition{type=\"ContainerdServing\",status=\"True\"}", 1},
        {"prebake_condition{type=\"ContainerdServing\",status=\"False\"}", 0},
        {"prebake_condition{type=\"ContainerdServing\",status=\"Unknown\"}", 0},
        {"prebake_condition{type=\"SealIntact\",status=\"Unknown\"}", 1},
        {"prebake_condition{type=\"SealIntact\",status=\"True\"}", 0},
        {"prebake_containerd_up", 1},
        {"prebake_kernel_to_ready_seconds", 12.25},
        {"prebake_containerd_to_ready_seconds", 0.0625},
        {"prebake_images{state=\"usable\"}", 2},
        {"prebake_images{state=\"repaired\"}", 1},
        {"prebake_images{state=\"moved\"}", 0},
        {"prebake_images{state=\"unusable\"}", 0},
        {"prebake_images{state=\"evicted\"}", 1},
        {"prebake_pinned_images", 4},
        {"prebake_baked_bytes", 5e9},
        {"prebake_images_never_used", 2},
        {"prebake_never_used_bytes", 123'456},
        {"prebake_repairs_total", 7},
        {"prebake_starts_total{result=\"hit\"}", 10},
        {"prebake_starts_total{result=\"partial\"}", 2},
        {"prebake_starts_total{result=\"miss\"}", 3},
        {"prebake_pulled_bytes_total", 99},
        {"prebake_ledger_gaps_total", 1},
        {"prebake_image_starts_total{image=\"docker.io/library/a:1\",namespace=\"k8s.io\","
         "platform=\"\",result=\"hit\"}",
         5},
        {"prebake_image_starts_total{image=\"docker.io/library/a:1\",namespace=\"k8s.io\","
         "platform=\"\",result=\"partial\"}",
         2},
        {"prebake_image_starts_total{image=\"docker.io/library/a:1\",namespace=\"k8s.io\","
         "platform=\"\",result=\"miss\"}",
         1},
        {"prebake_image_pulled_bytes_total{image=\"docker.io/library/"
         "a:1\",namespace=\"k8s.io\",platform=\"\"}",
         77},
    };
    for (const auto& row : expected) {
        CAPTURE(row.first);
        CHECK(metrics.value(row.first) == row.second);
    }
    // Written as an integer.
    CHECK(text.find("\nprebake_served_bytes_total 18446744073709551615\n") != std::string::npos);
    // Unknown values are absent, not zero.
    CHECK_FALSE(metrics.has("prebake_claim_to_ready_seconds"));
}

TEST_CASE("hydration") {
    NodeView view = healthy();
    v1::NodeHydration& hydration = *view.status.mutable_hydration();
    hydration = *node_hydration({.progress = hydrated_samples::hydrating()});
    hydrated_samples::add_rank_of_later_version(hydration);
    v1::FirstStarts& starts = *view.ledger.mutable_first_starts();
    starts.set_hydrated(3);
    starts.set_hydrated_mean_seconds(1.5);
    starts.set_cold(2);
    starts.set_cold_mean_seconds(10);
    const Exposition metrics(text_of(view));
    const std::map<std::string, double> expected = {
        {"prebake_hydration_state{state=\"hydrating\"}", 1},
        {"prebake_hydration_state{state=\"hydrated\"}", 0},
        {"prebake_hydration_state{state=\"stopped\"}", 0},
        {"prebake_hydration_bytes{rank=\"metadata\"}", 10.0 * hydrated_samples::kMiB},
        {"prebake_hydration_bytes{rank=\"traced\"}", 300.0 * hydrated_samples::kMiB},
        {"prebake_hydration_bytes{rank=\"images\"}", 320.0 * hydrated_samples::kMiB},
        {"prebake_hydration_total_bytes{rank=\"images\"}", 690.0 * hydrated_samples::kMiB},
        {"prebake_hydration_seconds", 5},
        {"prebake_hydration_depth", 24},
        {"prebake_cold_reads_total", 700},
        {"prebake_throttled_seconds_total", 2.5},
        {"prebake_first_starts_total{hydrated=\"true\"}", 3},
        {"prebake_first_starts_total{hydrated=\"false\"}", 2},
        {"prebake_first_start_seconds_total{hydrated=\"true\"}", 4.5},
        {"prebake_first_start_seconds_total{hydrated=\"false\"}", 20},
    };
    for (const auto& row : expected) {
        CAPTURE(row.first);
        CHECK(metrics.value(row.first) == row.second);
    }
}

TEST_CASE("where nothing is hydrated there are no series about it") {
    NodeView view = healthy();
    const std::string without = text_of(view);
    CHECK(without.find("hydrat") == std::string::npos);
    CHECK(without.find("prebake_first_start") == std::string::npos);
    view.status.mutable_hydration()->set_state("not_run");
    const Exposition metrics(text_of(view));
    CHECK(metrics.value("prebake_hydration_state{state=\"not_run\"}") == 1);
    CHECK_FALSE(metrics.has("prebake_hydration_bytes"));
    CHECK_FALSE(metrics.has("prebake_cold_reads_total"));
}

TEST_CASE("a daemon that has just started") {
    const Exposition metrics(text_of(*StatusHolder().latest()));
    CHECK(metrics.value("prebake_ready") == 0);
    CHECK(metrics.value("prebake_containerd_up") == 0);
    CHECK(metrics.value("prebake_starts_total{result=\"hit\"}") == 0);
    CHECK_FALSE(metrics.has("prebake_condition"));
    CHECK_FALSE(metrics.has("prebake_kernel_to_ready_seconds"));
    CHECK_FALSE(metrics.has("prebake_image_starts_total"));
}

TEST_CASE("labels are escaped") {
    NodeView view = healthy();
    add_image(view, "a\"b\\c\nd}", 1);
    const Exposition metrics(text_of(view));
    CHECK(metrics.value("prebake_image_pulled_bytes_total{image=\"a\\\"b\\\\c\\nd}\","
                        "namespace=\"k8s.io\",platform=\"\"}") == 0);
}

TEST_CASE("one series for a name, even if it had several images") {
    NodeView view = healthy();
    add_image(view, "a:latest", 3).set_digest("sha256:1");
    add_image(view, "a:latest", 0, 4).set_digest("sha256:2");
    add_image(view, "a:latest", 9).set_namespace_("default");
    const Exposition metrics(text_of(view));
    const std::string start = "prebake_image_starts_total{image=\"a:latest\",namespace=\"";
    CHECK(metrics.value(start + "k8s.io\",platform=\"\",result=\"hit\"}") == 3);
    CHECK(metrics.value(start + "k8s.io\",platform=\"\",result=\"miss\"}") == 4);
    CHECK(metrics.value(start + "default\",platform=\"\",result=\"hit\"}") == 9);
}

TEST_CASE("images without a series of their own share one") {
    NodeView view = healthy();
    for (std::uint64_t i = 0; i < 10; ++i) add_image(view, "image-" + std::to_string(i), i + 1);
    const auto hits_of = [](const Exposition& metrics, const std::string& image,
                            const std::string& ns) {
        return metrics.value("prebake_image_starts_total{image=\"" + image + "\",namespace=\"" +
                             ns + "\",platform=\"\",result=\"hit\"}");
    };
    const Exposition all(text_of(view, 10));
    CHECK(all.count("prebake_image_pulled_bytes_total") == 10);
    CHECK_FALSE(hits_of(all, "other", "").has_value());

    ImageRows rows(3);
    const Exposition some(metrics_text(view, rows));
    CHECK(some.count("prebake_image_pulled_bytes_total") == 4);
    CHECK(hits_of(some, "image-0", "k8s.io") == 1);
    CHECK(hits_of(some, "image-2", "k8s.io") == 3);
    CHECK_FALSE(hits_of(some, "image-3", "k8s.io").has_value());
    CHECK(hits_of(some, "other", "") == 4 + 5 + 6 + 7 + 8 + 9 + 10);

    // One image overtakes all others: no series falls.
    view.ledger.mutable_images(9)->set_hits(100);
    const Exposition later(metrics_text(view, rows));
    CHECK(hits_of(later, "image-0", "k8s.io") == 1);
    CHECK(hits_of(later, "image-2", "k8s.io") == 3);
    CHECK(hits_of(later, "other", "") == 4 + 5 + 6 + 7 + 8 + 9 + 100);

    // Images that the ledger merged belong there as well.
    view.ledger.mutable_other()->set_hits(1000);
    CHECK(hits_of(Exposition(metrics_text(view, rows)), "other", "") == 1139);
    CHECK(hits_of(Exposition(text_of(view, 10)), "other", "") == 1000);
}

}  // namespace
}  // namespace prebake::report
