#include "agent/bake/active_snapshot.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/timestamp.h"

namespace prebake::bake {
namespace {

constexpr std::string_view kKeyBegin = "extract-";
constexpr std::string_view kKeyMiddle = "-prebake";

/// Clients and the ledger recognise unpacking by the prefix "extract-"; the rest only has to be
/// unique.
std::string active_key(const oci::Digest& chain_id) {
    static std::atomic<unsigned> counter{0};
    return timestamped(kKeyBegin) + std::string(kKeyMiddle) + std::to_string(counter++) + " " +
           chain_id.str();
}

}  // namespace

std::unique_ptr<ActiveSnapshot> ActiveSnapshot::prepare(const containerd::Snapshots& snapshots,
                                                        const oci::Digest& chain_id,
                                                        const std::string& parent,
                                                        const containerd::Labels& labels) {
    std::string key = active_key(chain_id);
    auto mounts = snapshots.prepare(key, parent, labels);
    if (!mounts) return nullptr;
    return std::unique_ptr<ActiveSnapshot>(
        new ActiveSnapshot(snapshots, std::move(key), std::move(*mounts)));
}

bool ActiveSnapshot::is_key(std::string_view key) {
    return key.starts_with(kKeyBegin) && key.find(kKeyMiddle) != std::string_view::npos;
}

ActiveSnapshot::~ActiveSnapshot() {
    if (key_.empty()) return;
    try {
        snapshots_.remove(key_);
    } catch (const Error&) {
        return;
    }
}

std::string ActiveSnapshot::obstacle_in(const std::filesystem::path& directory) const {
    const std::filesystem::path probe = directory / ".prebake";
    std::string obstacle =
        "containerd has another directory at " + directory.string() + " than this process";
    bool is_made = false;
    try {
        const std::uint64_t before = snapshots_.usage(key_).inodes;
        is_made = ::mkdir(probe.c_str(), 0700) == 0;
        if (!is_made) throw errno_error("cannot create", probe);
        if (snapshots_.usage(key_).inodes == before + 1) obstacle.clear();
    } catch (const Error& error) {
        const bool is_about_the_place = !containerd::ends_session(error) &&
                                        !is_retryable(error.code()) &&
                                        error.code() != Errc::no_space;
        if (!is_about_the_place) throw;
        obstacle = error.message();
    }
    // It would become part of what is written by somebody else.
    if (is_made && ::rmdir(probe.c_str()) != 0) throw errno_error("cannot remove", probe);
    return obstacle;
}

void ActiveSnapshot::commit(const std::string& name, const containerd::Labels& labels) {
    // already_there: another client was faster. The active one is then ours to remove.
    if (snapshots_.commit(name, key_, labels) == containerd::CommitOutcome::committed) key_.clear();
}

}  // namespace prebake::bake
