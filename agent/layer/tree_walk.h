#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/layer/comparison.h"
#include "agent/layer/expected_tree.h"
#include "agent/layer/link_groups.h"

namespace prebake::layer {

/// What all entries of a layer say about the tree on the disk.
struct Expectations {
    ExpectedTree tree;
    LinkGroups links;
    /// Directories that have another time on the disk than the last entry says, in nanoseconds.
    std::map<std::string, std::int64_t> times = {};
    bool is_root_opaque = false;
};

/// Goes through a tree on the disk once, after all entries: looks for what the layer does not have,
/// for groups of hard links, and adds up all that was found.
class TreeWalk {
  public:
    /// `on_file` is called before each file, and may throw. The others must live longer.
    TreeWalk(const ComparedTree& tree, Expectations& expected, std::function<void()> on_file)
        : tree_(tree), expected_(expected), on_file_(std::move(on_file)) {}

    /// Once. @throws Error io.
    Comparison run();

  private:
    ExpectedTree& state() { return expected_.tree; }
    void visit_directory(const std::string& path, std::string& to_visit);
    void visit(const Spot& spot, std::string& to_visit);
    void check_untouched(const Spot& spot, std::uint16_t flags);
    void check_links(const Spot& spot);
    void report_late_times();
    void report_time(const std::string& path, std::int64_t expected);
    void report(const std::string& path, const Differing& differing);
    bool is_below_missing(const std::string& path);

    const ComparedTree& tree_;
    Expectations& expected_;
    std::function<void()> on_file_;
    Comparison result_;
    std::map<std::string, Differing> kept_;
    /// Files with several names that have another time than their last entry says, and a name.
    std::vector<std::pair<const LinkGroups::File*, std::string>> late_times_;
};

}  // namespace prebake::layer
