#pragma once

namespace prebake {

/// Gives back to the system what a process that goes on for months does not need any more after its
/// start, or after a large piece of work: freed heap, and code that will not run again. (Resident
/// pages of the executable that are needed again come back from the page cache.)
void give_back_memory();

}  // namespace prebake
