#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "agent/layer/comparison.h"
#include "agent/layer/content_comparison.h"
#include "agent/layer/entry_names.h"
#include "agent/layer/expected_tree.h"
#include "agent/layer/tar_entry.h"
#include "agent/layer/tar_reader.h"
#include "agent/layer/tree_walk.h"

namespace prebake::layer {

/// What TreeWriter does with the entries of a layer, for a tree that is there already: nothing is
/// written, but compared. An entry that replaces another one of the same layer replaces what was
/// found about it.
class TreeComparison {
  public:
    explicit TreeComparison(const ComparedTree& tree);

    /// As TreeWriter::add().
    void add(const TarEntry& entry, TarReader& contents);
    /// Nothing more can be compared.
    bool is_lost() const { return expected_.tree.is_lost(); }
    /// Once, after the last entry: looks for what the layer does not have.
    Comparison finish(const std::function<void()>& on_file) {
        return TreeWalk(tree_, expected_, on_file).run();
    }

  private:
    ExpectedDirectoryPointer require(const std::string& path);
    void imply(const Spot& spot);
    void add_whiteout(const TarEntry& entry, const ExpectedDirectoryPointer& directory,
                      const Whiteout& whiteout);
    void hide_lower_layers(const ExpectedDirectoryPointer& directory);
    void remove_all_but_own(const ExpectedDirectory& directory);
    void remove_unless_own(Spot spot, std::vector<std::string>& directories);
    void add_directory(const TarEntry& entry, Spot& spot);
    void expect_time(Spot& spot, std::int64_t modified_at);
    void add_file(const TarEntry& entry, Spot& spot, TarReader& contents);
    void add_node(const TarEntry& entry, Spot& spot);
    void add_hard_link(const TarEntry& entry, Spot& spot);
    void link_contents(const Spot& spot, const Spot& target, Mismatch& mismatch);
    bool has_contents_of(const Spot& spot, const Spot& target, Mismatch& mismatch);

    FileAttributes first_attributes(const ExpectedDirectory& parent, std::int64_t gid = -1);
    void remove(Spot& spot);
    void set(const Spot& spot, std::uint16_t flags, FileEssence essence, FileAttributes attributes);

    ExpectedTree& state() { return expected_.tree; }

    ComparedTree tree_;
    Expectations expected_;
    ContentComparison contents_;
    std::string path_;  // the entry's, clean
};

}  // namespace prebake::layer
