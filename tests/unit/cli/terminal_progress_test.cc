#include "agent/cli/terminal_progress.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace prebake::cli {
namespace {

using bake::Event;
using bake::EventKind;

const std::string kLayer = "sha256:" + std::string(64, 'a');

class Screen {
  public:
    void begin(std::uint64_t bytes) {
        apply({.kind = EventKind::bake_begun, .total = bytes, .images = 1});
    }
    void apply(const Event& event) { state_.apply(event, begin_); }
    std::string draw(std::size_t width = 200, std::size_t height = 20,
                     std::chrono::seconds later = std::chrono::seconds(2)) const {
        return state_.draw(width, height, begin_ + later);
    }

  private:
    LiveState::Clock::time_point begin_ = LiveState::Clock::now();
    LiveState state_;
};

TEST_CASE("a layer is shown while it is fetched and unpacked, the total always") {
    Screen screen;
    CHECK(screen.draw().empty());
    screen.begin(4 << 20);
    screen.apply({.kind = EventKind::fetching,
                  .image = "a:1",
                  .layer = kLayer,
                  .current = 1 << 20,
                  .total = 4 << 20});
    const std::string fetching = screen.draw();
    CHECK(fetching.find(
              "sha256:aaaaaaaaaaaa  [######..................]  1.0 MiB / 4.0 MiB  a:1\n") == 0);
    CHECK(fetching.find("images 0 of 1 done  1.0 MiB of 4.0 MiB  512.0 KiB/s  6.0 s left") !=
          std::string::npos);

    screen.apply({.kind = EventKind::fetched, .image = "a:1", .layer = kLayer});
    screen.apply({.kind = EventKind::unpacking, .image = "a:1", .layer = kLayer, .total = 4 << 20});
    CHECK(screen.draw().find("unpacking") != std::string::npos);
    screen.apply({.kind = EventKind::unpacked, .image = "a:1", .layer = kLayer});
    screen.apply({.kind = EventKind::image_done, .image = "a:1"});
    const std::string done = screen.draw();
    CHECK(done.find("sha256") == std::string::npos);
    CHECK(done.find("images 1 of 1 done") == 0);
}

TEST_CASE("it never grows beyond the screen") {
    Screen screen;
    screen.begin(9);
    for (char digit = 'a'; digit < 'q'; ++digit) {
        screen.apply({.kind = EventKind::fetching,
                      .image = "a:1",
                      .layer = "sha256:" + std::string(64, digit),
                      .current = 1,
                      .total = 9});
    }
    const std::string text = screen.draw(40, 5);
    CHECK(std::count(text.begin(), text.end(), '\n') == 5);
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos;
         end = text.find('\n', begin)) {
        CHECK(end - begin <= 40);
        begin = end + 1;
    }
}

TEST_CASE("a failed image removes its layers from the screen") {
    Screen screen;
    screen.begin(9);
    screen.apply(
        {.kind = EventKind::fetching, .image = "a:1", .layer = kLayer, .current = 1, .total = 9});
    REQUIRE(screen.draw().find("sha256") != std::string::npos);
    screen.apply({.kind = EventKind::image_failed, .image = "a:1", .message = "no"});
    CHECK(screen.draw().find("sha256") == std::string::npos);
}

TEST_CASE("permanent lines") {
    CHECK(line_for({.kind = EventKind::image_failed, .image = "a:1", .message = "gone"}) ==
          "a:1: FAILED");
    CHECK(line_for({.kind = EventKind::fetching, .image = "a:1"}).empty());
    CHECK(line_for({.kind = EventKind::notice, .message = "retrying"}) == "retrying");
}

}  // namespace
}  // namespace prebake::cli
