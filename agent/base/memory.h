#pragma once

namespace prebake {

/// Returns memory to the system that a long-running process does not need after its start, or after
/// a large task: freed heap, and code that will not run again. (Pages of the executable that are
/// needed again are read from the page cache.)
void give_back_memory();

}  // namespace prebake
