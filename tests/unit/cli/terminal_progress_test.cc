#include "agent/cli/terminal_progress.h"

#include <doctest/doctest.h>

namespace prebake::cli {
namespace {

using bake::EventKind;

TEST_CASE("permanent lines") {
    CHECK(line_for({.kind = EventKind::image_failed, .image = "a:1", .message = "gone"}) ==
          "a:1: FAILED");
    CHECK(line_for({.kind = EventKind::fetching, .image = "a:1"}).empty());
    CHECK(line_for({.kind = EventKind::notice, .message = "retrying"}) == "retrying");
}

TEST_CASE("the size to draw for") {
    struct Row {
        std::size_t columns;  ///< of the terminal
        const char* wanted;   ///< $COLUMNS
        std::size_t drawn;
    };
    for (const Row& row : {
             Row{120, nullptr, 120},
             Row{0, nullptr, 80},  // a serial console
             Row{0, "132", 132},
             Row{120, "60", 60},
             Row{60, "120", 60},  // longer lines would wrap
             Row{60, "", 60},
             Row{60, "0", 60},
             Row{60, "40 columns", 60},
             Row{60, "-40", 60},
             Row{60, "99999999999999999999999", 60},
         }) {
        CAPTURE(row.columns);
        CAPTURE(std::string(row.wanted == nullptr ? "(null)" : row.wanted));
        CHECK(screen_size(row.columns, 30, row.wanted).columns == row.drawn);
    }
    CHECK(screen_size(80, 30, nullptr).rows == 30);
    CHECK(screen_size(80, 0, nullptr).rows == 24);
}

}  // namespace
}  // namespace prebake::cli
