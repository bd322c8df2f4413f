#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/hydrate/residency.h"
#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

/// A layer on this machine: the directory of its snapshot.
struct LayerDirectory {
    std::string diff_id;
    std::filesystem::path directory;
};

/// What of the files of some layers is in the page cache, and since when.
class LayerCache {
  public:
    /// Lists the regular files. A layer that is named twice counts once.
    /// @throws Error io, permission_denied; cancelled when a stop is requested, as all that follow.
    LayerCache(const std::vector<LayerDirectory>& layers, ResidencyMethod method,
               std::stop_token stop);

    /// Drops the files from the page cache. What stays, because somebody uses it, does not count
    /// later.
    void drop();
    /// Notes which files have been read, `seconds` after the start.
    void look(double seconds);

    /// Of each file that was read since drop(): which ranges, and the time of the first look() that
    /// saw it. Files whose names are not UTF-8 are counted in `omitted_files`.
    v1::ReadTrace result() const;
    /// Bytes that drop() could not drop.
    std::uint64_t stayed_bytes() const;
    /// The device of each directory, st_dev.
    std::vector<dev_t> devices() const;

  private:
    struct File {
        std::string path;  // in its layer
        FileRanges stayed = {};
        FileRanges read = {};
        double seconds = -1;  // before: it was not read
    };
    struct Layer {
        std::string diff_id;
        std::filesystem::path directory;
        std::vector<File> files;
    };

    void list_files(Layer& layer) const;
    FileRanges cached(const std::filesystem::path& path) const;
    template <typename Visit>
    void for_each_file(const Visit& visit);

    ResidencyMethod method_;
    std::stop_token stop_;
    std::vector<Layer> layers_;
};

}  // namespace prebake::hydrate
