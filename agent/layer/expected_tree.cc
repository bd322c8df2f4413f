#include "agent/layer/expected_tree.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/base/error.h"
#include "agent/layer/entry_names.h"

namespace prebake::layer {
namespace {

constexpr int kOpenExpected = O_PATH | O_DIRECTORY;

}  // namespace

std::string ExpectedTree::resolve(std::string_view path) {
    return resolve_links(path, [this](const std::string& at) { return link_at(at); });
}

std::optional<std::string> ExpectedTree::link_at(const std::string& path) {
    const auto [directory, name] = split_path(path);
    const auto followed = follow(directory);
    if (!followed) return std::nullopt;
    const Spot found = spot(directory_at(*followed), name);
    if (kind_of(found) != S_IFLNK) return std::nullopt;
    return essence_of(found).link;
}

/// The directory that the kernel would find. Nothing if it is not there, or outside.
std::optional<std::string> ExpectedTree::follow(std::string_view path) {
    std::string here;
    std::string rest(path);
    int followed = 0;
    for (;;) {
        std::string_view left = rest;
        const std::string name(take_component(left));
        std::string next(left);
        if (name.empty()) return here;
        if (name == "..") {
            if (here.empty()) return std::nullopt;
            here = split_path(here).directory;
        } else if (name != ".") {
            const Spot found = spot(directory_at(here), name);
            const mode_t kind = kind_of(found);
            if (kind == 0) return std::nullopt;
            if (kind == S_IFLNK) {
                const std::string target = essence_of(found).link;
                if (target.starts_with('/')) return std::nullopt;
                errno = ELOOP;
                if (++followed > kMaxLinksOfKernel) throw entry_error("cannot resolve", path);
                next = target + "/" + next;
            } else if (kind == S_IFDIR) {
                here = found.path;
            } else {
                errno = ENOTDIR;
                throw entry_error("cannot resolve", path);
            }
        }
        rest = std::move(next);
    }
}

/// True if the disk has something else at the path or above it.
bool ExpectedTree::has_other_file_on(const std::string& path) const {
    if (other_files_ == 0) return false;
    for (std::size_t end = 0; end != std::string::npos;) {
        end = path.find('/', end + 1);
        const Mismatch* mismatch = mismatch_of(path.substr(0, end));
        if (mismatch != nullptr && mismatch->is_other_file) return true;
    }
    return false;
}

ExpectedDirectoryPointer ExpectedTree::make_directory(const std::string& resolved,
                                                      FileDescriptor fd) {
    auto directory = std::make_shared<ExpectedDirectory>();
    directory->path = resolved;
    directory->fd = std::move(fd);
    std::string_view rest = resolved;
    for (std::string_view name = take_component(rest); !name.empty(); name = take_component(rest)) {
        directory->key = keys_.child(directory->key, name);
        directory->plain_key = PathKeys::plain_child(directory->plain_key, name);
    }
    return directory;
}

ExpectedDirectoryPointer ExpectedTree::directory_at(const std::string& resolved) {
    return make_directory(resolved,
                          disk_.open(resolved, kOpenExpected, LinksAmongDirectories::refuse));
}

ExpectedDirectoryPointer ExpectedTree::find(const std::string& path, std::string& resolved) {
    for (Slot& slot : slots_) {
        if (!slot.directory || slot.path != path) continue;
        slot.used_at = ++uses_;
        return slot.directory;
    }
    resolved = path;
    FileDescriptor fd = disk_.open(path, kOpenExpected, LinksAmongDirectories::refuse);
    ExpectedDirectoryPointer directory;
    if (fd && !has_other_file_on(path)) {
        directory = make_directory(path, std::move(fd));
    } else {
        resolved = resolve(path);
        directory = directory_at(resolved);
    }
    if (!resolved.empty()) {
        const mode_t kind = kind_of(spot_at(resolved));
        if (kind == 0) return nullptr;
        errno = ENOTDIR;
        if (kind != S_IFDIR) throw entry_error("cannot open the directory", path);
    }
    Slot& oldest = *std::ranges::min_element(slots_, {}, &Slot::used_at);
    oldest = {path, directory, ++uses_};
    return directory;
}

Spot ExpectedTree::spot(const ExpectedDirectoryPointer& parent, const std::string& name) {
    return {.parent = parent,
            .name = name,
            .path = joined_path(parent->path, name),
            .key = keys_.child(parent->key, name),
            .plain_key = PathKeys::plain_child(parent->plain_key, name),
            .disk = DiskFile(parent->fd.get(), name)};
}

Spot ExpectedTree::spot_at(const std::string& resolved) {
    const auto [directory, name] = split_path(resolved);
    return spot(directory_at(directory), name);
}

std::uint16_t ExpectedTree::flags_of(std::uint64_t key) {
    const std::uint16_t* flags = flags_.find(key);
    return flags == nullptr ? std::uint16_t{0} : *flags;
}

const Mismatch* ExpectedTree::mismatch_of(const std::string& resolved) const {
    if (mismatches_.empty()) return nullptr;
    const auto found = mismatches_.find(resolved);
    return found == mismatches_.end() ? nullptr : &found->second;
}

mode_t ExpectedTree::kind_of(const Spot& spot) {
    if ((flags_of(spot.key) & kExists) == 0) return 0;
    const Mismatch* mismatch = mismatch_of(spot.path);
    return mismatch == nullptr ? spot.disk.kind() : mismatch->essence.kind;
}

FileEssence ExpectedTree::essence_of(const Spot& spot) {
    const Mismatch* mismatch = mismatch_of(spot.path);
    return mismatch == nullptr ? spot.disk.essence() : mismatch->essence;
}

FileAttributes ExpectedTree::attributes_of(const Spot& spot) {
    const Mismatch* mismatch = mismatch_of(spot.path);
    return mismatch == nullptr ? spot.disk.attributes() : mismatch->attributes;
}

void ExpectedTree::erase(const std::string& path) {
    const auto found = mismatches_.find(path);
    if (found == mismatches_.end()) return;
    if (found->second.is_other_file) --other_files_;
    mismatches_.erase(found);
}

void ExpectedTree::set(const Spot& spot, std::uint16_t flags, Mismatch mismatch) {
    constexpr std::uint16_t kStays = kIsTimed | kIsOwn;
    std::uint16_t& known = flags_.at(spot.key);
    known =
        static_cast<std::uint16_t>((known & kStays) | kExists | (flags & (kImplied | kTouched)));
    if (!mismatches_.empty()) erase(spot.path);
    if (mismatch.of_essence.is_empty() && mismatch.of_attributes.is_empty()) return;
    if (mismatches_.size() < kMaxMismatches) {
        if (mismatch.is_other_file) ++other_files_;
        mismatches_.emplace(spot.path, std::move(mismatch));
        return;
    }
    // Without knowing what is there, the paths of later entries mean nothing.
    if (mismatch.is_other_file) is_lost_ = true;
    if (!mismatch.of_essence.is_empty()) known |= kOtherEssence;
    if (!mismatch.of_attributes.is_empty()) known |= kOtherAttributes;
}

void ExpectedTree::remove(Spot& spot) {
    const mode_t kind = kind_of(spot);
    if (kind == 0) return;
    flags_.at(spot.key) &= static_cast<std::uint16_t>(kIsTimed | kIsOwn);
    erase(spot.path);
    if (kind == S_IFDIR) {
        // '0' follows '/'.
        auto below = mismatches_.lower_bound(spot.path + "/");
        const auto end = mismatches_.lower_bound(spot.path + "0");
        while (below != end) {
            if (below->second.is_other_file) --other_files_;
            below = mismatches_.erase(below);
        }
        keys_.remove(spot.parent->key, spot.name);
        spot.key = keys_.child(spot.parent->key, spot.name);
    }
    if (kind == S_IFDIR || kind == S_IFLNK) slots_ = {};
}

void ExpectedTree::forget_attributes(const Spot& spot) {
    flags_.at(spot.key) &= static_cast<std::uint16_t>(~kOtherAttributes);
    const auto found = mismatches_.find(spot.path);
    if (found == mismatches_.end()) return;
    found->second.of_attributes = {};
    if (found->second.of_essence.is_empty()) erase(spot.path);
}

void ExpectedTree::touch(const ExpectedDirectory& directory) {
    std::uint16_t* flags = flags_.find(directory.key);
    if (flags != nullptr && (*flags & kImplied) != 0) *flags |= kTouched;
}

}  // namespace prebake::layer
