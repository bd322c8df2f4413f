#include "agent/layer/tree_comparison.h"

#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <optional>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/hex.h"
#include "agent/layer/file_attributes.h"
#include "agent/layer/lower_directory.h"
#include "agent/layer/removal.h"

namespace prebake::layer {
namespace {

/// Of a directory that neither an entry nor a lower layer describes.
constexpr mode_t kPlainDirectory = 0755;

std::string hash_text(const Sha256Hash& hash) {
    return "contents with SHA-256 " + to_hex(hash);
}

}  // namespace

TreeComparison::TreeComparison(const ComparedTree& tree)
    : tree_(tree), expected_{.tree = ExpectedTree(tree.root, tree.opening), .links = {}} {}

void TreeComparison::add(const TarEntry& entry, TarReader& contents) {
    path_ = path_of(entry);
    if (path_.empty()) return;
    const auto [directory, name] = split_path(path_);
    const ExpectedDirectoryPointer parent = require(directory);
    const Whiteout whiteout = whiteout_of(path_, name);
    if (whiteout.kind != Whiteout::Kind::none) {
        add_whiteout(entry, parent, whiteout);
        return;
    }
    Spot spot = state().spot(parent, name);
    switch (entry.type) {
        case tar_type::kDirectory:
            add_directory(entry, spot);
            break;
        case tar_type::kFile:
            add_file(entry, spot, contents);
            break;
        case tar_type::kHardLink:
            add_hard_link(entry, spot);
            break;
        case tar_type::kSymlink:
        case tar_type::kCharacterDevice:
        case tar_type::kBlockDevice:
        case tar_type::kFifo:
            add_node(entry, spot);
            break;
        case tar_type::kGlobalHeader:
            if (name.size() <= NAME_MAX) remove(spot);
            break;
        default:
            throw Error(Errc::corrupt, path_ + " is an entry of an unknown type");
    }
    if (tree_.whiteouts == Whiteouts::apply) {
        state().add_flag(spot.plain_key, ExpectedTree::kIsOwn);
    }
}

/// The directory, which is made with those above it if it is missing.
ExpectedDirectoryPointer TreeComparison::require(const std::string& path) {
    std::string resolved;
    if (auto found = state().find(path, resolved)) return found;
    for (std::size_t end = 0; end != std::string::npos;) {
        end = resolved.find('/', end + 1);
        const Spot spot = state().spot_at(resolved.substr(0, end));
        const mode_t kind = state().kind_of(spot);
        if (kind == 0) imply(spot);
        errno = ENOTDIR;
        if (kind != 0 && kind != S_IFDIR) throw entry_error("cannot make the directory", path);
    }
    return state().find(path, resolved);
}

/// A directory that no entry describes yet.
void TreeComparison::imply(const Spot& spot) {
    FileAttributes attributes;
    if (!tree_.are_lowers_sound) {
        attributes = spot.disk.attributes();
    } else if (const LowerDirectory source = find_lower_directory(spot.path, tree_.lowers);
               source.fd) {
        attributes = DiskFile(source.fd.get(), ".").attributes();
        attributes.is_opaque = false;
    } else {
        attributes = first_attributes(*spot.parent);
        attributes.permissions = kPlainDirectory;
    }
    attributes.modified_at.reset();
    set(spot, ExpectedTree::kImplied, {.kind = S_IFDIR}, std::move(attributes));
    state().touch(*spot.parent);
}

/// Those of a new file, before its entry's are set. `gid` is the entry's; -1: none.
FileAttributes TreeComparison::first_attributes(const ExpectedDirectory& parent, std::int64_t gid) {
    FileAttributes attributes;
    if (static_cast<gid_t>(gid) != static_cast<gid_t>(-1)) return attributes;
    const FileAttributes above = parent.path.empty()
                                     ? DiskFile(tree_.root, ".").attributes()
                                     : state().attributes_of(state().spot_at(parent.path));
    if ((above.permissions & S_ISGID) != 0) attributes.gid = above.gid;
    return attributes;
}

void TreeComparison::set(const Spot& spot, std::uint16_t flags, FileEssence essence,
                         FileAttributes attributes) {
    Mismatch mismatch{.essence = std::move(essence), .attributes = std::move(attributes)};
    mismatch.of_essence = difference(mismatch.essence, spot.disk);
    const bool is_of_size = spot.disk.kind() == S_IFREG && mismatch.essence.kind == S_IFREG;
    mismatch.is_other_file = !mismatch.of_essence.is_empty() && !is_of_size;
    if (mismatch.of_essence.is_empty() && mismatch.essence.content) {
        mismatch.of_essence.add(hash_text(*mismatch.essence.content),
                                contents_.obstacle().empty()
                                    ? "other contents of the same size"
                                    : "a file that cannot be read: " + contents_.obstacle());
    }
    if (!mismatch.is_other_file) {
        mismatch.of_attributes = difference(mismatch.attributes, spot.disk);
    }
    state().set(spot, flags, std::move(mismatch));
}

void TreeComparison::remove(Spot& spot) {
    if (state().kind_of(spot) == 0) return;
    expected_.links.forget(spot.key);
    state().remove(spot);
    state().touch(*spot.parent);
}

void TreeComparison::add_whiteout(const TarEntry& entry, const ExpectedDirectoryPointer& directory,
                                  const Whiteout& whiteout) {
    if (whiteout.kind == Whiteout::Kind::directory_contents) {
        hide_lower_layers(directory);
        return;
    }
    Spot spot = state().spot(directory, whiteout.name);
    if (tree_.whiteouts == Whiteouts::apply) {
        remove(spot);
        return;
    }
    FileAttributes attributes = first_attributes(*directory, entry.gid);
    apply_attributes(entry, S_IFCHR, attributes);
    attributes.permissions = 0;
    attributes.modified_at.reset();
    attributes.xattrs.clear();
    set(spot, 0, {.kind = S_IFCHR}, std::move(attributes));
    state().touch(*directory);
}

void TreeComparison::hide_lower_layers(const ExpectedDirectoryPointer& directory) {
    if (tree_.whiteouts == Whiteouts::apply) {
        remove_all_but_own(*directory);
    } else if (directory->path.empty()) {
        expected_.is_root_opaque = true;
    } else {
        const Spot spot = state().spot_at(directory->path);
        FileAttributes attributes = state().attributes_of(spot);
        attributes.is_opaque = true;
        attributes.modified_at.reset();
        set(spot, state().flags_of(spot.key), {.kind = S_IFDIR}, std::move(attributes));
    }
}

/// As TreeWriter does it.
void TreeComparison::remove_all_but_own(const ExpectedDirectory& directory) {
    std::vector<std::string> to_clear = {directory.path};
    while (!to_clear.empty()) {
        const std::string path = std::move(to_clear.back());
        to_clear.pop_back();
        const ExpectedDirectoryPointer here = state().directory_at(path);
        std::vector<std::string> names;
        if (here->fd) {
            for_each_name(here->fd.get(), path, [&](const std::string& name) {
                names.push_back(name);
                return true;
            });
        }
        // What the disk lacks may have been there.
        const std::string below = path.empty() ? path : path + "/";
        const auto& mismatches = state().mismatches();
        for (auto at = mismatches.lower_bound(below);
             at != mismatches.end() && at->first.starts_with(below); ++at) {
            const std::string name = at->first.substr(below.size());
            if (name.find('/') == std::string::npos) names.push_back(name);
        }
        for (const std::string& name : names) {
            remove_unless_own(state().spot(here, name), to_clear);
        }
    }
}

void TreeComparison::remove_unless_own(Spot spot, std::vector<std::string>& directories) {
    const mode_t kind = state().kind_of(spot);
    if (kind == 0) return;
    if ((state().ever(spot) & ExpectedTree::kIsOwn) == 0) {
        remove(spot);
    } else if (kind == S_IFDIR) {
        directories.push_back(spot.path);
    }
}

void TreeComparison::add_directory(const TarEntry& entry, Spot& spot) {
    const mode_t kind = state().kind_of(spot);
    FileAttributes attributes;
    if (kind == S_IFDIR) {
        attributes = state().attributes_of(spot);
    } else {
        remove(spot);
        attributes = first_attributes(*spot.parent, entry.gid);
        state().touch(*spot.parent);
    }
    apply_attributes(entry, S_IFDIR, attributes);
    // Not this time, but that of expect_time().
    const std::int64_t modified_at = *std::exchange(attributes.modified_at, std::nullopt);
    set(spot, 0, {.kind = S_IFDIR}, std::move(attributes));
    expect_time(spot, modified_at);
}

/// The times of directories are set at the end, in the order of their entries: of what each path
/// leads to by then. That is what it leads to on the disk.
void TreeComparison::expect_time(Spot& spot, std::int64_t modified_at) {
    const bool is_plain = spot.path == path_ && spot.disk.kind() == S_IFDIR;
    std::optional<Spot> found;
    if (!is_plain) {
        try {
            const std::string at_the_end = state().disk().resolve(path_);
            if (at_the_end.empty()) return;
            found = state().spot_at(at_the_end);
        } catch (const Error&) {
            return;  // something else than a directory is in the way: that is a difference itself
        }
    }
    Spot& timed = found ? *found : spot;
    state().add_flag(timed.plain_key, ExpectedTree::kIsTimed);
    if (timed.disk.kind() == 0 || is_same_time(modified_at, timed.disk.status().st_mtim)) {
        expected_.times.erase(timed.path);
    } else {
        expected_.times[timed.path] = modified_at;
    }
    const Mismatch* mismatch = state().mismatch_of(timed.path);
    if (mismatch == nullptr || !mismatch->attributes.modified_at) return;
    Mismatch again = *mismatch;
    again.attributes.modified_at.reset();
    set(timed, state().flags_of(timed.key), again.essence, again.attributes);
}

void TreeComparison::add_file(const TarEntry& entry, Spot& spot, TarReader& contents) {
    remove(spot);
    FileEssence essence = essence_of(entry);
    FileAttributes attributes = first_attributes(*spot.parent, entry.gid);
    apply_attributes(entry, S_IFREG, attributes);
    if ((state().ever(spot) & ExpectedTree::kIsTimed) != 0) attributes.modified_at.reset();
    const bool is_to_read = spot.disk.kind() == S_IFREG && spot.disk.status().st_size > 0 &&
                            spot.disk.status().st_size == essence.size;
    const FileDescriptor file = is_to_read ? spot.disk.open() : FileDescriptor();
    const bool is_empty =
        essence.size == 0 && spot.disk.kind() == S_IFREG && spot.disk.status().st_size == 0;
    if (!is_empty) {
        essence.content = contents_.differing_from(file.get(), essence.size, contents);
    }
    set(spot, 0, std::move(essence), std::move(attributes));
    state().touch(*spot.parent);
}

void TreeComparison::add_node(const TarEntry& entry, Spot& spot) {
    remove(spot);
    FileEssence essence = essence_of(entry);
    FileAttributes attributes = first_attributes(*spot.parent, entry.gid);
    apply_attributes(entry, essence.kind, attributes);
    if ((state().ever(spot) & ExpectedTree::kIsTimed) != 0) attributes.modified_at.reset();
    set(spot, 0, std::move(essence), std::move(attributes));
    state().touch(*spot.parent);
}

void TreeComparison::add_hard_link(const TarEntry& entry, Spot& spot) {
    remove(spot);
    const SplitPath named =
        link_target(entry.link, [this](const std::string& path) { return state().resolve(path); });
    std::string resolved;
    const ExpectedDirectoryPointer directory = state().find(named.directory, resolved);
    errno = ENOENT;
    if (!directory) throw entry_error("cannot link to", entry.link);
    const Spot target = state().spot(directory, named.name);
    const mode_t kind = state().kind_of(target);
    errno = kind == 0 ? ENOENT : EISDIR;
    if (kind == 0 || kind == S_IFDIR) throw entry_error("cannot link to", entry.link);

    Mismatch mismatch{.essence = state().essence_of(target), .attributes = {}};
    const LinkGroups::File* known = expected_.links.file_of(target.key);
    FileAttributes attributes =
        known != nullptr ? known->attributes : state().attributes_of(target);
    apply_attributes(entry, kind, attributes);
    link_contents(spot, target, mismatch);
    state().set(spot, 0, std::move(mismatch));
    // Those of all its names, which are compared at the end.
    state().forget_attributes(target);
    expected_.links.link(spot.key, target.key).attributes = std::move(attributes);
    state().touch(*spot.parent);
}

/// The spot must have what the target has at this moment, which the disk may no more have there.
void TreeComparison::link_contents(const Spot& spot, const Spot& target, Mismatch& mismatch) {
    mismatch.of_essence = difference(mismatch.essence, spot.disk);
    const bool is_file = mismatch.essence.kind == S_IFREG;
    mismatch.is_other_file =
        !mismatch.of_essence.is_empty() && !(is_file && spot.disk.kind() == S_IFREG);
    if (!is_file) return;
    if (has_contents_of(spot, target, mismatch)) {
        mismatch.essence.content.reset();
    } else if (mismatch.of_essence.is_empty()) {
        mismatch.of_essence.add(hash_text(*mismatch.essence.content),
                                "other contents of the same size");
    }
}

/// If not, `mismatch` gets the hash of the contents that are expected.
bool TreeComparison::has_contents_of(const Spot& spot, const Spot& target, Mismatch& mismatch) {
    const bool is_on_disk = !mismatch.essence.content.has_value();
    const bool is_same_inode = spot.disk.kind() == S_IFREG && target.disk.kind() == S_IFREG &&
                               spot.disk.status().st_ino == target.disk.status().st_ino;
    if (is_on_disk && is_same_inode) return true;
    const bool may_be_equal = mismatch.of_essence.is_empty();
    const FileDescriptor file = may_be_equal ? spot.disk.open() : FileDescriptor();
    if (!is_on_disk) return file && contents_.hash_of(file.get()) == *mismatch.essence.content;
    const FileDescriptor original = target.disk.open();
    if (!original) throw errno_error("cannot open", target.path);
    if (file && contents_.are_equal(file.get(), original.get())) return true;
    mismatch.essence.content = contents_.hash_of(original.get());
    return false;
}

}  // namespace prebake::layer
