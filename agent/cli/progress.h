#pragma once

#include <memory>
#include <string>

#include "agent/bake/event.h"

namespace prebake::cli {

enum class ProgressStyle {
    automatic,  ///< terminal if stderr is one, else plain
    terminal,   ///< a line per active layer and a total, redrawn in place
    plain,      ///< a line per image begun and finished
    json,       ///< a prebake.v1.ProgressEvent per line
    none,
};

/// Shows the events of a bake on stderr. Thread-safe; the terminal's live lines are gone when it is
/// destroyed.
std::unique_ptr<bake::EventSink> make_progress(ProgressStyle style);

}  // namespace prebake::cli
