#include "agent/layer/apply.h"

#include "agent/layer/tar_reader.h"

namespace prebake::layer {

void apply(Source& tar, TreeWriter& tree, const std::function<void()>& on_entry) {
    TarReader reader(tar);
    while (const TarEntry* entry = reader.next()) {
        if (on_entry) on_entry();
        tree.add(*entry, reader);
    }
    reader.drain();
}

}  // namespace prebake::layer
