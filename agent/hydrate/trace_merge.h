#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "agent/hydrate/traced_file.h"

/// Several traces become one. Pure.
namespace prebake::hydrate {

/// Adds traces up. Of a file: the ranges of all, the number of recordings that read it, and the
/// earliest time.
class TraceSum {
  public:
    /// @throws Error corrupt as ranges_of() and chunks_of().
    void add(const v1::ReadTrace& trace);
    /// Images, layers, files and volumes once each, in the order of their names.
    v1::ReadTrace result() const;

  private:
    struct File {
        FileRanges ranges;
        std::uint64_t recordings = 0;
        double seconds = 0;
    };
    using ImageKey = std::tuple<std::string, std::string, std::vector<std::string>>;

    void add_image(const v1::TracedImage& image);

    std::map<ImageKey, v1::TracedImage> images_;
    std::map<std::string, std::map<std::string, File>> layers_;  // by diffID and path
    std::map<std::string, ChunkSet> volumes_;                    // by UUID
    std::uint64_t omitted_files_ = 0;
};

/// A trace, and the file that it comes from.
struct NamedTrace {
    std::string origin;
    v1::ReadTrace trace;
};

struct MergedTrace {
    v1::ReadTrace trace;
    std::vector<std::string> dropped;  ///< "b.json: what it says about docker.io/...", for people
};

/// The sum of all. If there are three traces or more of the same layers, one that has little in
/// common with the others (less than a third of what is usual among them) does not count: somebody
/// recorded something else.
MergedTrace merge_traces(const std::vector<NamedTrace>& traces);

}  // namespace prebake::hydrate
