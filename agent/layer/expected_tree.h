#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/base/file.h"
#include "agent/layer/contained.h"
#include "agent/layer/disk_file.h"
#include "agent/layer/file_facts.h"
#include "agent/layer/key_table.h"
#include "agent/layer/path_keys.h"

namespace prebake::layer {

/// A directory of the expected tree.
struct ExpectedDirectory {
    std::string path;  ///< resolved: no component is a link; "" is the root
    std::uint64_t key = PathKeys::kRoot;
    std::uint64_t plain_key = PathKeys::kRoot;
    FileDescriptor fd;  ///< of the same directory on the disk; without a value: it is not there
};

using ExpectedDirectoryPointer = std::shared_ptr<const ExpectedDirectory>;

/// A name in a directory of the expected tree, with what the disk has there.
struct Spot {
    ExpectedDirectoryPointer parent;
    std::string name;
    std::string path;         ///< resolved
    std::uint64_t key;        ///< see PathKeys
    std::uint64_t plain_key;  ///< whatever was removed meanwhile
    DiskFile disk;
};

/// A file of the expected tree that the disk has otherwise, or not at all.
struct Mismatch {
    FileEssence essence;  ///< what is expected
    FileAttributes attributes;
    Differing of_essence = {};
    Differing of_attributes = {};
    bool is_other_file = false;  ///< the kind, or where a link leads to, is another
};

/// The tree that a layer makes, at one moment while the layer is read. The disk has the tree as it
/// is at the end; so only what differs from that is kept here, and a hash of each path. What has
/// been made and does not differ is as it is on the disk.
class ExpectedTree {
  public:
    /// What is known of a path. Some stay whatever is removed: see ever().
    enum Flag : std::uint16_t {
        kExists = 1,
        kImplied = 2,       ///< a directory that no entry describes
        kTouched = 4,       ///< something was made or removed in it
        kOtherEssence = 8,  ///< differs, and there was no room for a Mismatch
        kOtherAttributes = 16,
        kIsTimed = 32,  ///< stays: a directory's entry sets the time of what it leads to
        kIsOwn = 64,    ///< stays: the layer has an entry of it
    };

    /// `root` is open, and stays so.
    ExpectedTree(int root, PathOpening opening) : disk_(root, opening) {}

    const Contained& disk() const { return disk_; }

    /// Where `path` leads, with the links of this moment, as Contained::resolve() says.
    std::string resolve(std::string_view path);
    /// The directory to which `path`, a clean one, leads; `resolved` is its path. Null if there is
    /// none yet. @throws Error corrupt if something else is in the way.
    ExpectedDirectoryPointer find(const std::string& path, std::string& resolved);
    /// The directory with a resolved path, whether it exists or not.
    ExpectedDirectoryPointer directory_at(const std::string& resolved);
    Spot spot(const ExpectedDirectoryPointer& parent, const std::string& name);
    /// Of a resolved path other than the root.
    Spot spot_at(const std::string& resolved);

    /// What is there at this moment; 0: nothing.
    mode_t kind_of(const Spot& spot);
    FileEssence essence_of(const Spot& spot);
    FileAttributes attributes_of(const Spot& spot);
    /// Null if it is as on the disk.
    const Mismatch* mismatch_of(const std::string& resolved) const;

    /// There is such a file now, with these flags beside kExists. What differs from the disk is in
    /// the mismatch; nothing if that is empty.
    void set(const Spot& spot, std::uint16_t flags, Mismatch mismatch);
    /// Whatever is there is gone; with a directory, what is in it. The spot gets its new key.
    void remove(Spot& spot);
    /// The attributes of the file are no more those that were expected: they are not compared.
    void forget_attributes(const Spot& spot);
    /// It was made or removed in `directory`.
    void touch(const ExpectedDirectory& directory);

    std::uint16_t flags_of(std::uint64_t key);
    void add_flag(std::uint64_t key, Flag flag) { flags_.at(key) |= flag; }
    /// The flags that stay.
    std::uint16_t ever(const Spot& spot) { return flags_of(spot.plain_key); }

    /// By their paths. The first kMaxMismatches that are there at a time.
    const std::map<std::string, Mismatch>& mismatches() const { return mismatches_; }
    /// The tree on the disk has so little in common with this one that it cannot be followed.
    bool is_lost() const { return is_lost_; }

    static constexpr std::size_t kMaxMismatches = 16'384;

  private:
    struct Slot {
        std::string path;
        ExpectedDirectoryPointer directory;
        std::uint64_t used_at = 0;
    };

    std::optional<std::string> link_at(const std::string& path);
    std::optional<std::string> follow(std::string_view path);
    bool has_other_file_on(const std::string& path) const;
    ExpectedDirectoryPointer make_directory(const std::string& resolved, FileDescriptor fd);
    void erase(const std::string& path);

    Contained disk_;
    PathKeys keys_;
    KeyTable<std::uint16_t> flags_;
    std::map<std::string, Mismatch> mismatches_;
    std::size_t other_files_ = 0;  // of them
    bool is_lost_ = false;
    std::array<Slot, 16> slots_;  // directories by the paths that entries have for them
    std::uint64_t uses_ = 0;
};

}  // namespace prebake::layer
