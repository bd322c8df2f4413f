#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "agent/base/file.h"
#include "agent/containerd/connection.h"
#include "agent/layer/comparison.h"
#include "agent/store/content_check.h"
#include "agent/store/finding.h"
#include "agent/store/holdings.h"
#include "agent/store/store_view.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::store {

/// Compares the files of snapshots with the layers that they were made from, where the snapshotter
/// keeps them in plain directories that are visible from here. Each snapshot is compared once, even
/// if several images share it; a layer's blob is hashed while it is read.
class TreeCheck {
  public:
    /// All must live longer.
    TreeCheck(const v1::BakeRecord& record, StoreView& store,
              const containerd::Connection& connection, ContentCheck& content, Verification& result)
        : record_(record),
          store_(store),
          connection_(connection),
          content_(content),
          result_(result) {}

    /// Adds to the result what is found, and what could not be compared. Missing snapshots are not
    /// its subject. @throws Error if containerd does not answer; cancelled.
    void run(const v1::BakedImage& image, const v1::Placement& placement,
             const std::string& snapshotter);

  private:
    /// The chain of snapshots that is compared.
    struct Chain {
        const v1::BakedImage& image;
        const v1::Placement& placement;
        const std::string& snapshotter;
        const Holdings& held;
        std::size_t length;                       ///< snapshots that are there, from the lowest on
        std::vector<FileDescriptor> directories;  ///< of all, the uppermost first

        const v1::Layer& layer(std::size_t i) const { return image.layers(static_cast<int>(i)); }
    };
    using Key = std::tuple<std::string, std::string, std::string>;
    static Key key_of(const Chain& chain, std::size_t layer);

    void open_directories(Chain& chain);
    void check_layer(const Chain& chain, std::size_t layer);
    layer::Comparison compare(const Chain& chain, std::size_t layer, Source& stored);
    std::string missing_blob(const Chain& chain, std::size_t layer) const;
    std::unique_ptr<Source> open_blob(const Chain& chain, std::size_t layer) const;
    void report(const Chain& chain, std::size_t layer, const layer::Comparison& comparison);
    void leave_out(const Chain& chain, std::size_t layer, const std::string& reason);

    const v1::BakeRecord& record_;
    StoreView& store_;
    const containerd::Connection& connection_;
    ContentCheck& content_;
    Verification& result_;
    std::set<Key> done_;
    std::set<Key> damaged_;
};

}  // namespace prebake::store
