#include "agent/bake/layer_tree.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include "agent/base/capabilities.h"
#include "agent/base/error.h"
#include "agent/layer/apply.h"
#include "agent/layer/decompress.h"
#include "agent/layer/hashing_source.h"
#include "agent/layer/removal.h"

namespace prebake::bake {
namespace {

/// The root of a tree is not in a layer: it stays as the snapshotter made it.
void copy_attributes(const std::filesystem::path& from, const std::filesystem::path& to) {
    struct stat wanted {};
    struct stat held {};
    if (::lstat(from.c_str(), &wanted) != 0) throw errno_error("cannot read", from);
    if (::lstat(to.c_str(), &held) != 0) throw errno_error("cannot read", to);
    const bool is_owner = wanted.st_uid == held.st_uid && wanted.st_gid == held.st_gid;
    if (!is_owner && ::lchown(to.c_str(), wanted.st_uid, wanted.st_gid) != 0) {
        throw errno_error("cannot change the owner of", to);
    }
    if (wanted.st_mode != held.st_mode && ::chmod(to.c_str(), wanted.st_mode & 07777U) != 0) {
        throw errno_error("cannot change the mode of", to);
    }
}

/// A stream, and the time that its reads took, with those of the streams below it.
class TimedSource final : public Source {
  public:
    explicit TimedSource(Source& from) : from_(from) {}
    std::size_t read(std::span<std::byte> buffer) override {
        const StageTimes::Clock::time_point begin = StageTimes::Clock::now();
        const std::size_t got = from_.read(buffer);
        total += StageTimes::Clock::now() - begin;
        return got;
    }
    StageTimes::Clock::duration total{};

  private:
    Source& from_;
};

/// A stream that somebody may stop.
class CheckedSource final : public Source {
  public:
    CheckedSource(Source& from, const std::function<void()>& check) : from_(from), check_(check) {}
    std::size_t read(std::span<std::byte> buffer) override {
        check_();
        return from_.read(buffer);
    }

  private:
    Source& from_;
    const std::function<void()>& check_;
};

/// What writing any tree takes: owners and modes, file capabilities, and the trusted.* attributes
/// of overlayfs, which without CAP_SYS_ADMIN could not even be seen in the layers below.
constexpr std::array kNeeded{
    Capability{CAP_CHOWN, "CAP_CHOWN"},     Capability{CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"},
    Capability{CAP_FOWNER, "CAP_FOWNER"},   Capability{CAP_FSETID, "CAP_FSETID"},
    Capability{CAP_SETFCAP, "CAP_SETFCAP"}, Capability{CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}};

/// Also used, if it is there. Device nodes take CAP_MKNOD, but hardly any layer has one, and
/// whiteouts have not taken it since Linux 5.8.
constexpr CapabilityMask tree_capabilities() {
    CapabilityMask mask = capability(CAP_MKNOD);
    for (const Capability& needed : kNeeded) mask |= capability(needed.number);
    return mask;
}

}  // namespace

LayerTree::LayerTree(std::filesystem::path directory, Place place, layer::Whiteouts whiteouts)
    : directory_(std::move(directory)),
      place_(place),
      opened_(open_directory(directory_)),
      writer_(opened_.get(), whiteouts) {}

LayerTree::~LayerTree() {
    if (place_ != Place::staging) return;
    try {
        const RaisedCapabilities raised(tree_capabilities());
        std::error_code ignored;
        std::filesystem::remove_all(directory_, ignored);
    } catch (const Error&) {
        return;  // what stays goes with the lease
    }
}

oci::Digest LayerTree::write(Source& bytes, const oci::Descriptor& layer, StageTimes& times,
                             const std::function<void()>& on_read) {
    const RaisedCapabilities raised(tree_capabilities());
    const Clock::time_point begin = Clock::now();
    TimedSource stored(bytes);
    const std::unique_ptr<Source> tar = layer::tar_of_layer(stored, layer.media_type);
    TimedSource inflated(*tar);
    layer::HashingSource hashing(inflated);
    TimedSource hashed(hashing);
    try {
        // Not for each file: one alone may take minutes, and so may what follows the last one.
        CheckedSource checked(hashed, on_read);
        layer::apply(checked, writer_);
    } catch (...) {
        // containerd forgets the snapshot at once, but keeps its files for a while: a disk that
        // this layer has filled would stay full for all other images.
        clear();
        throw;
    }
    written_at_ = Clock::now();
    times.add(Stage::reading, stored.total);
    times.add(Stage::inflating, inflated.total - stored.total);
    times.add(Stage::hashing, hashed.total - inflated.total);
    times.add(Stage::writing, written_at_ - begin - hashed.total);
    return oci::Digest(hashing.finish());
}

void LayerTree::clear() const {
    try {
        const RaisedCapabilities raised(tree_capabilities());
        layer::for_each_name(opened_.get(), directory_, [&](const std::string& name) {
            layer::remove_tree(opened_.get(), name, directory_ / name);
            return true;
        });
    } catch (const Error&) {
        return;  // what stays goes with the snapshot
    }
}

void LayerTree::finish(const std::vector<std::filesystem::path>& lowers) {
    const RaisedCapabilities raised(tree_capabilities());
    std::vector<FileDescriptor> opened;
    std::vector<int> descriptors;
    for (const std::filesystem::path& lower : lowers) {
        opened.push_back(open_directory(lower));
        descriptors.push_back(opened.back().get());
    }
    writer_.finish(descriptors);
}

void LayerTree::move_to(const std::filesystem::path& place) {
    const RaisedCapabilities raised(tree_capabilities());
    copy_attributes(place, directory_);
    if (::syscall(SYS_renameat2, AT_FDCWD, directory_.c_str(), AT_FDCWD, place.c_str(),
                  RENAME_EXCHANGE) != 0) {
        throw errno_error("cannot move " + directory_.string() + " to", place);
    }
}

std::string obstacle_to_writing_trees() {
    return lacking(kNeeded, own_capabilities().permitted);
}

void keep_back_tree_capabilities() {
    if (!has_no_new_privileges()) return;
    CapabilitySets sets = own_capabilities();
    const CapabilityMask kept = sets.effective & ~tree_capabilities();
    if (kept == sets.effective) return;
    sets.effective = kept;
    set_own_capabilities(sets);
}

}  // namespace prebake::bake
