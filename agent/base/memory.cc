#include "agent/base/memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace prebake {
namespace {

/// The main program is the first object, and the only one to release: half of it runs only at the
/// start.
int release_code(dl_phdr_info* object, std::size_t, void*) {
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (int i = 0; i < object->dlpi_phnum; ++i) {
        const ElfW(Phdr)& segment = object->dlpi_phdr[i];
        // Not segments that may have been written to: relocated data would be lost.
        const bool is_code = (segment.p_flags & PF_X) != 0 && (segment.p_flags & PF_W) == 0;
        if (segment.p_type != PT_LOAD || !is_code) continue;
        const std::uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) / page * page;
        const std::uintptr_t end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
        // NOLINTNEXTLINE(performance-no-int-to-ptr): addresses of segments are integers
        static_cast<void>(madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED));
    }
    return 1;
}

}  // namespace

void give_back_memory() {
    malloc_trim(0);
    dl_iterate_phdr(release_code, nullptr);
}

}  // namespace prebake
