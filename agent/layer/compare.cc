#include "agent/layer/compare.h"

#include "agent/layer/tar_reader.h"
#include "agent/layer/tree_comparison.h"

namespace prebake::layer {

Comparison compare(Source& tar, const ComparedTree& tree, const std::function<void()>& on_entry) {
    TarReader reader(tar);
    TreeComparison comparison(tree);
    while (!comparison.is_lost()) {
        const TarEntry* entry = reader.next();
        if (entry == nullptr) break;
        if (on_entry) on_entry();
        comparison.add(*entry, reader);
    }
    reader.drain();
    return comparison.finish(on_entry);
}

}  // namespace prebake::layer
