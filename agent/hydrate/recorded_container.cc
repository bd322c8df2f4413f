#include "agent/hydrate/recorded_container.h"

#include <system_error>
#include <utility>

#include "agent/base/file.h"
#include "agent/base/timestamp.h"
#include "agent/base/wait.h"
#include "agent/containerd/containers.h"
#include "agent/containerd/leases.h"
#include "agent/containerd/snapshots.h"
#include "agent/containerd/tasks.h"
#include "agent/store/snapshot_use.h"

namespace prebake::hydrate {
namespace {

constexpr std::size_t kKeptOutput = 1UL << 20;
/// Of what is created before the container refers to it.
constexpr std::chrono::hours kLeaseLifetime{1};

std::filesystem::path new_directory(const std::filesystem::path& runtime, const std::string& id) {
    std::error_code failure;
    std::filesystem::create_directories(runtime, failure);
    std::filesystem::path directory = runtime / id;
    if (!std::filesystem::create_directory(directory, failure)) {
        throw Error(Errc::io, "cannot create " + directory.string() + ": " + failure.message());
    }
    return directory;
}

/// Names and addresses that pods find in their containers, too.
std::vector<oci::BoundFile> bound_files(oci::ContainerNetwork network,
                                        const std::filesystem::path& directory) {
    const std::filesystem::path hosts = directory / "hosts";
    if (network == oci::ContainerNetwork::loopback) {
        write_file_durably(hosts, "127.0.0.1 localhost\n::1 localhost\n", 0644);
        return {{.file = hosts.string(), .place = "/etc/hosts"}};
    }
    std::vector<oci::BoundFile> files;
    for (const char* file : {"/etc/hosts", "/etc/resolv.conf"}) {
        std::error_code hidden;
        if (std::filesystem::exists(file, hidden)) files.push_back({.file = file, .place = file});
    }
    return files;
}

bool is_ours(std::string_view name) {
    return name.starts_with(store::kRecordedPrefix);
}

}  // namespace

RecordedContainer::RecordedContainer(const containerd::Connection& connection,
                                     const RunnableImage& image, std::vector<std::string> program,
                                     const oci::ContainerUser& user, oci::ContainerNetwork network,
                                     const std::filesystem::path& runtime)
    : id_(timestamped(store::kRecordedPrefix)),
      ns_(image.ns),
      snapshotter_(image.snapshotter),
      directory_(new_directory(runtime, id_)),
      clean_up_(connection.address(), {}),
      waiting_(connection.address(), stop_waiting_.get_token()) {
    try {
        output_.emplace(directory_ / "output", kKeptOutput);
        const std::string spec =
            oci::runtime_spec(image.config, {.program = std::move(program),
                                             .user = user,
                                             .network = network,
                                             .cgroup = "/" + ns_ + "/" + id_,
                                             .files = bound_files(network, directory_)});
        create(image, spec);
    } catch (const Error&) {
        try {
            remove();
        } catch (const Error&) {  // remove_leftovers() does it
        }
        throw;
    }
}

void RecordedContainer::create(const RunnableImage& image, const std::string& spec) {
    // Without a stop: what is half created would be harder to remove.
    containerd::Leases(clean_up_, ns_).create(id_, kLeaseLifetime, {});
    const containerd::Snapshots snapshots(clean_up_, {.ns = ns_, .lease = id_}, snapshotter_);
    const auto rootfs = snapshots.prepare(id_, image.snapshot, {});
    if (!rootfs) throw Error(Errc::internal, "the snapshot " + id_ + " exists already");
    containerd::Containers(clean_up_, ns_)
        .create({.id = id_,
                 .image = image.name,
                 .snapshotter = snapshotter_,
                 .snapshot_key = id_,
                 .spec = spec});
    process_id_ = containerd::Tasks(clean_up_, ns_).create(id_, *rootfs, output_->path().string());
    waiter_ = std::jthread([this] { wait(); });
}

RecordedContainer::~RecordedContainer() {
    try {
        remove();
    } catch (const std::exception&) {
        // remove_leftovers() does it
    }
    stop_waiting_.request_stop();
    if (waiter_.joinable()) waiter_.join();
    output_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

void RecordedContainer::start() {
    containerd::Tasks(clean_up_, ns_).start(id_);
}

void RecordedContainer::wait() {
    std::optional<std::uint32_t> status;
    std::optional<Error> failure;
    try {
        status = containerd::Tasks(waiting_, ns_).wait(id_);
    } catch (const Error& error) {
        failure = error;
    }
    const std::lock_guard lock(mutex_);
    status_ = status;
    failure_ = failure;
    changed_.notify_all();
}

std::optional<std::uint32_t> RecordedContainer::wait_until(
    std::chrono::steady_clock::time_point deadline, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, stop, deadline, [this] { return status_ || failure_; });
    throw_if_stopped(stop);
    if (failure_) throw Error(*failure_);
    return status_;
}

std::string RecordedContainer::take_output() {
    // The shim copies what the process wrote, and has done that when its task is deleted.
    try {
        remove();
    } catch (const Error&) {
        // what has come so far, then
    }
    return output_->finish();
}

void RecordedContainer::remove() {
    if (is_removed_) return;
    containerd::Containers(clean_up_, ns_).remove(id_);
    containerd::Snapshots(clean_up_, {.ns = ns_, .lease = {}}, snapshotter_).remove(id_);
    containerd::Leases(clean_up_, ns_).remove(id_);
    is_removed_ = true;
}

void remove_leftovers(const containerd::Connection& connection,
                      const std::filesystem::path& runtime) {
    for (const std::string& ns : containerd::namespaces(connection)) {
        const containerd::Containers containers(connection, ns);
        for (const containerd::Container& container : containers.list()) {
            if (is_ours(container.id)) containers.remove(container.id);
        }
        const containerd::Leases leases(connection, ns);
        for (const containerd::Lease& lease : leases.list()) {
            // Its snapshot, if there is one, is collected then.
            if (is_ours(lease.id)) leases.remove(lease.id, containerd::Collection::awaited);
        }
    }
    std::error_code failure;
    for (std::filesystem::directory_iterator entry(runtime, failure);
         !failure && entry != std::filesystem::directory_iterator(); entry.increment(failure)) {
        std::error_code ignored;
        if (is_ours(entry->path().filename().string()) && entry->is_directory(ignored)) {
            std::filesystem::remove_all(entry->path(), ignored);
        }
    }
}

}  // namespace prebake::hydrate
