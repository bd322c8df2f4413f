#pragma once

#include <memory>
#include <string>

#include "agent/bake/event.h"

namespace prebake::cli {

enum class ProgressStyle {
    automatic,  ///< terminal if stderr is one and TERM says that it can redraw, otherwise plain
    terminal,   ///< a line per active layer and the totals, redrawn in place
    plain,      ///< a line when an image starts and when it is done
    json,       ///< a prebake.v1.ProgressEvent per line
    none,
};

/// Shows the events of a bake on stderr. Thread-safe. The destructor removes live lines from the
/// terminal.
std::unique_ptr<bake::EventSink> make_progress(ProgressStyle style);

}  // namespace prebake::cli
