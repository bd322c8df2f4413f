#include "agent/cli/live_state.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace prebake::cli {
namespace {

using bake::Event;
using bake::EventKind;
using bake::PlannedWork;
using Lines = std::vector<std::string>;

constexpr std::uint64_t kMebi = 1 << 20;
constexpr std::size_t kTall = 20;
const std::string kName = "registry.example/team/web-frontend:1.27.3";

std::string blob(char digit) {
    return "sha256:" + std::string(64, digit);
}

std::string snapshot(char digit) {
    return "k8s.io " + blob(digit);
}

/// A bake of one image, of which the layers a (30 MiB, on the disk and unpacked), b (40 MiB) and
/// c (10 MiB) are to be stored. Ten seconds have passed.
class Screen {
  public:
    explicit Screen(std::string image = kName, std::size_t images = 1) : image_(std::move(image)) {
        const auto works = [](const auto& id) {
            return std::vector<PlannedWork>{{id('a'), 30 * kMebi, true},
                                            {id('b'), 40 * kMebi, false},
                                            {id('c'), 10 * kMebi, false}};
        };
        state_.apply({.kind = EventKind::bake_begun,
                      .images = images,
                      .layers = works(blob),
                      .snapshots = works(snapshot)},
                     begin_);
    }
    void fetching(char layer, std::uint64_t current, std::uint64_t received) {
        apply({.kind = EventKind::fetching,
               .layer = blob(layer),
               .current = current * kMebi,
               .total = layer == 'b' ? 40 * kMebi : 10 * kMebi,
               .received = received * kMebi});
    }
    void fetched(char layer) { apply({.kind = EventKind::fetched, .layer = blob(layer)}); }
    void unpacking(char layer, std::uint64_t bytes) {
        apply({.kind = EventKind::unpacking,
               .layer = blob(layer),
               .snapshot = snapshot(layer),
               .total = bytes * kMebi});
    }
    void unpacked(char layer) {
        apply({.kind = EventKind::unpacked, .layer = blob(layer), .snapshot = snapshot(layer)});
    }
    void end(EventKind kind) { apply({.kind = kind}); }
    Lines lines(std::size_t width = 119, std::size_t height = kTall) const {
        return state_.lines(width, height, begin_ + std::chrono::seconds(10));
    }
    std::string line(const std::string& begin) const {
        for (const std::string& line : lines()) {
            if (line.starts_with(begin)) return line;
        }
        return {};
    }

  private:
    void apply(Event event) {
        event.image = image_;
        state_.apply(event, begin_);
    }

    const std::string image_;
    const LiveState::Clock::time_point begin_ = LiveState::Clock::now();
    LiveState state_;
};

std::string joined(const Lines& lines) {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    return text;
}

TEST_CASE("before the bake has started, nothing is drawn") {
    CHECK(LiveState().lines(80, kTall, {}).empty());
}

TEST_CASE("the layout follows the width") {
    Screen screen;
    screen.fetching('b', 20, 10);
    screen.fetched('c');
    screen.unpacking('c', 10);
    struct Row {
        std::size_t width;
        Lines lines;
    };
    const std::vector<Row> rows{
        {119,
         {"registry.example/team/web-frontend:1.27.3  bbbbbbbbbbbb  [############............]  "
          "20.0 MiB of 40.0 MiB",
          "registry.example/team/web-frontend:1.27.3  cccccccccccc                              "
          "unpacking 10.0 MiB",
          "stored    [##################......]  60.0 MiB of 80.0 MiB, 20 s left, 1.0 MiB/s",
          "unpacked  [#########...............]  30.0 MiB of 80.0 MiB",
          "images    0 of 1 done, 10 s"}},
        {79,
         {"registry.../web-frontend:1.27.3  bbbbbbbbbbbb  [####....]  20.0 MiB of 40.0 MiB",
          "registry.../web-frontend:1.27.3  cccccccccccc              unpacking 10.0 MiB",
          "stored    [######..]  60.0 MiB of 80.0 MiB, 20 s left, 1.0 MiB/s",
          "unpacked  [###.....]  30.0 MiB of 80.0 MiB", "images    0 of 1 done, 10 s"}},
        {59,
         {".../web-frontend:1.27.3  bbbbbbbbbbbb  20.0 MiB of 40.0 MiB",
          ".../web-frontend:1.27.3  cccccccccccc  unpacking 10.0 MiB",
          "stored    [######..]  60.0 MiB of 80.0 MiB, 20 s left",
          "unpacked  [###.....]  30.0 MiB of 80.0 MiB", "images    0 of 1 done, 10 s"}},
        {39,
         {"web-fro...:1.27.3  20.0 MiB of 40.0 MiB", "web-fro...:1.27.3  unpacking 10.0 MiB",
          "stored    60.0 MiB of 80.0 MiB", "unpacked  30.0 MiB of 80.0 MiB",
          "images    0 of 1 done, 10 s"}},
        {30,
         {"registr.../web-frontend:1.27.3", "registr.../web-frontend:1.27.3",
          "stored    60.0 MiB of 80.0 MiB", "unpacked  30.0 MiB of 80.0 MiB",
          "images    0 of 1 done, 10 s"}},
        {5, {"....3", "....3", "store", "unpac", "image"}},
        {1, {"3", "3", "s", "u", "i"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.width);
        const Lines drawn = screen.lines(row.width);
        CHECK(joined(drawn) == joined(row.lines));
        for (const std::string& line : drawn) CHECK(line.size() <= row.width);
    }
}

TEST_CASE("it never grows beyond the screen, and the totals stay") {
    Screen screen;
    for (char layer = 'b'; layer < 'q'; ++layer) screen.fetching(layer, 1, 1);
    for (std::size_t height = 0; height < kTall; ++height) {
        const Lines drawn = screen.lines(79, height);
        CHECK(drawn.size() == std::min<std::size_t>(height, 15 + 3));
        if (height > 0) CHECK(drawn.back().starts_with("images"));
    }
}

TEST_CASE("what was not transferred counts as stored, but not for the rate and the time left") {
    Screen screen;
    CHECK(screen.line("stored") == "stored    [#########...............]  30.0 MiB of 80.0 MiB");
    SUBCASE("a layer of which an earlier bake left a part") {
        screen.fetching('b', 30, 0);
        CHECK(screen.line("stored").ends_with("60.0 MiB of 80.0 MiB"));
        screen.fetching('b', 35, 5);
        CHECK(screen.line("stored").ends_with("65.0 MiB of 80.0 MiB, 30 s left, 512.0 KiB/s"));
    }
    SUBCASE("a layer that is copied from another namespace") {
        screen.fetching('b', 40, 0);
        CHECK(screen.line("stored").ends_with("70.0 MiB of 80.0 MiB"));
    }
    SUBCASE("a layer that is adopted, without a byte that moves") {
        screen.fetched('b');
        CHECK(screen.line("stored").ends_with("70.0 MiB of 80.0 MiB"));
    }
    SUBCASE("a layer that is asked for again, for another image or namespace") {
        screen.fetching('b', 40, 40);
        for (int i = 0; i < 3; ++i) screen.fetched('b');
        screen.fetching('b', 20, 0);
        CHECK(screen.line("stored").ends_with("70.0 MiB of 80.0 MiB, 3 s left, 4.0 MiB/s"));
    }
    SUBCASE("a layer that is resumed after an error, with what it has") {
        screen.fetching('b', 20, 20);
        screen.fetching('b', 10, 21);
        CHECK(screen.line("stored").find("50.0 MiB of 80.0 MiB") != std::string::npos);
        CHECK(screen.line("stored").ends_with("2.1 MiB/s"));
    }
    for (const char layer : {'a', 'b', 'c'}) screen.fetched(layer);
    CHECK(screen.line("stored") == "stored    [########################]  80.0 MiB of 80.0 MiB");
}

TEST_CASE("unpacked layers count when they are done, also those that others unpacked") {
    Screen screen;
    screen.fetched('b');
    screen.unpacking('b', 40);
    CHECK(screen.line("unpacked") == "unpacked  [#########...............]  30.0 MiB of 80.0 MiB");
    CHECK(screen.line(kName).ends_with("unpacking 40.0 MiB"));
    screen.unpacked('b');
    screen.unpacked('b');
    screen.unpacked('a');
    CHECK(screen.line(kName).empty());
    CHECK(screen.line("unpacked").ends_with("70.0 MiB of 80.0 MiB"));
    screen.unpacked('c');
    CHECK(screen.line("unpacked") == "unpacked  [########################]  80.0 MiB of 80.0 MiB");
}

TEST_CASE("an image that ends removes its layers; after a failure the time left is not known") {
    Screen screen(kName, 3);
    screen.fetching('b', 20, 20);
    REQUIRE(screen.line("stored").ends_with(", 15 s left, 2.0 MiB/s"));
    screen.end(EventKind::image_done);
    CHECK(screen.line(kName).empty());
    CHECK(screen.line("images") == "images    1 of 3 done, 10 s");
    screen.fetching('c', 1, 1);
    screen.end(EventKind::image_failed);
    CHECK(screen.line(kName).empty());
    CHECK(screen.line("images") == "images    1 of 3 done, 1 failed, 10 s");
    CHECK(screen.line("stored").ends_with("51.0 MiB of 80.0 MiB, 2.1 MiB/s"));
}

TEST_CASE("names are shortened in the middle, so that the tag stays") {
    const std::string digest = blob('d');
    struct Row {
        std::string name;
        std::size_t width;
        std::string shown;
    };
    for (const Row& row : {
             Row{kName, 41, "registry.example/team/web-frontend:1.27.3"},
             Row{kName, 40, "registry.example/.../web-frontend:1.27.3"},
             Row{kName, 30, "registr.../web-frontend:1.27.3"},
             Row{kName, 23, ".../web-frontend:1.27.3"},
             Row{kName, 22, "web-frontend:1.27.3"},
             Row{kName, 16, "web-fr...:1.27.3"},
             Row{kName, 10, "...:1.27.3"},
             Row{kName, 8, "....27.3"},
             Row{kName, 3, "7.3"},
             Row{kName, 0, ""},
             Row{"localhost:5000/a", 10, "local.../a"},
             Row{"nothing-to-cut-at-but-long", 13, "nothi...-long"},
             Row{"r.example/app@" + digest, 99, "r.example/app@sha256:dddddddddddd"},
             Row{"r.example/app:1@" + digest, 20, "app:...:dddddddddddd"},
         }) {
        CAPTURE(row.name);
        CAPTURE(row.width);
        CHECK(shorten_name(row.name, row.width) == row.shown);
        CHECK(shorten_name(row.name, row.width).size() <= row.width);
    }
}

}  // namespace
}  // namespace prebake::cli
