#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "agent/layer/contained.h"
#include "agent/layer/entry_names.h"
#include "agent/layer/parents.h"
#include "agent/layer/tar_entry.h"
#include "agent/layer/tar_reader.h"
#include "agent/layer/whiteouts.h"

namespace prebake::layer {

/// Writes the entries of one layer as files, and makes exactly the tree that containerd's applier
/// makes (facts: containerd 1.6 to 2.3, pkg/archive; Go's os and filepath), with the same verdict
/// about what is an error. Stays inside its root, whatever the layer says and whatever others
/// change there meanwhile.
///
/// Needs the capabilities of root: chown, fowner, fsetid, dac_override, mknod, setfcap, and
/// sys_admin for trusted.overlay.opaque. Nothing is synced.
class TreeWriter {
  public:
    /// `root` is an open directory; the caller keeps it open. It may be moved meanwhile.
    TreeWriter(int root, Whiteouts whiteouts,
               PathOpening opening = PathOpening::openat2_if_possible);
    ~TreeWriter() = default;
    TreeWriter(const TreeWriter&) = delete;
    TreeWriter& operator=(const TreeWriter&) = delete;

    /// Writes one entry; `contents` is the reader that has just returned it.
    /// @throws Error corrupt if the layer itself is the reason; no_space, permission_denied, io.
    void add(const TarEntry& entry, TarReader& contents);

    /// Once, after the last entry: attributes of directories that no entry describes, from `lowers`
    /// (open directories of the lower layers, the nearest first; they must be finished), and the
    /// times of all others. @throws Error unsupported if the tree cannot be finished so late
    /// (implied_directories.h): containerd must unpack the layer then; otherwise as add().
    void finish(std::span<const int> lowers);

  private:
    struct DirectoryTimes {
        std::int64_t accessed_at;  // nanoseconds since 1970
        std::int64_t modified_at;
    };
    /// The place of the entry that is written.
    struct Place {
        DirectoryPointer parent;
        std::string name;
    };

    void add_whiteout(const TarEntry& entry, const Directory& directory, const Whiteout& whiteout);
    void hide_lower_layers(const Directory& directory);
    void remove_all_but_own(const Directory& directory);
    void add_directory(const TarEntry& entry, const Place& place);
    void add_file(const TarEntry& entry, const Place& place, TarReader& contents);
    void write_contents(const TarEntry& entry, int file, TarReader& contents);
    void add_node(const TarEntry& entry, const Place& place);
    void add_hard_link(const TarEntry& entry, const Place& place);
    int link_to_target(const std::string& link, const Place& place);
    void set_attributes_by_name(const TarEntry& entry, const Place& place) const;
    void set_directory_times(const std::string& path, const DirectoryTimes& times);
    template <typename Make>
    int make_in_place(const Place& place, Make make);
    void remove(const Directory& directory, const std::string& name);
    bool is_own(const std::string& resolved_path);

    Contained tree_;
    Parents parents_;
    Whiteouts whiteouts_;
    std::string path_;  // the entry's, clean

    /// Directories in order of appearance. Their times come last: files put into them change them.
    std::vector<DirectoryTimes> directory_times_;
    std::string directory_paths_;  // one after another, each with a NUL
    bool has_replaced_ = false;    // a directory or link was removed: paths may lead elsewhere

    /// Hashes of the resolved paths of all entries, for Whiteouts::apply. (A collision would keep a
    /// file that a whiteout of the same layer removes.)
    std::vector<std::uint64_t> own_;
    std::size_t own_sorted_ = 0;
};

}  // namespace prebake::layer
