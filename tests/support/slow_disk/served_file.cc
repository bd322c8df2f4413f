#include "tests/support/slow_disk/served_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#define FUSE_USE_VERSION 312
#include <fuse3/fuse_lowlevel.h>

namespace slow_disk {
namespace {

constexpr fuse_ino_t kFile = 2;
constexpr const char* kName = "disk";
// The kernel need not ask again: the size does not change.
constexpr double kForever = 1e9;
constexpr unsigned kThreads = 4;  // none of them waits for a load

struct Context {
    ServedFile* file;
    unsigned max_background;
};

Context& context(fuse_req_t request) {
    return *static_cast<Context*>(fuse_req_userdata(request));
}

struct stat attributes(fuse_req_t request, fuse_ino_t inode) {
    struct stat about {};
    about.st_ino = inode;
    about.st_mode = inode == kFile ? S_IFREG | 0600 : S_IFDIR | 0700;
    about.st_nlink = 1;
    about.st_size = inode == kFile ? static_cast<off_t>(context(request).file->size()) : 0;
    about.st_blksize = kBlockBytes;
    return about;
}

void on_init(void* data, fuse_conn_info* connection) {
    // Without it the kernel has 12 of the loop device's requests in flight, and the others wait.
    connection->max_background = static_cast<Context*>(data)->max_background;
    connection->congestion_threshold = connection->max_background;
    connection->want &= ~static_cast<unsigned>(FUSE_CAP_AUTO_INVAL_DATA);
}

void on_lookup(fuse_req_t request, fuse_ino_t, const char* name) {
    if (std::strcmp(name, kName) != 0) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    fuse_entry_param entry{};
    entry.ino = kFile;
    entry.attr = attributes(request, kFile);
    entry.attr_timeout = entry.entry_timeout = kForever;
    fuse_reply_entry(request, &entry);
}

void on_getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
    const struct stat about = attributes(request, inode);
    fuse_reply_attr(request, &about, kForever);
}

void on_open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
    if (inode != kFile) {
        fuse_reply_err(request, EISDIR);
        return;
    }
    info->direct_io = 1;  // nothing is cached above the model
    fuse_reply_open(request, info);
}

void on_read(fuse_req_t request, fuse_ino_t, size_t size, off_t offset, fuse_file_info*) {
    context(request).file->read(request, {static_cast<std::uint64_t>(offset), size});
}

void on_write(fuse_req_t request, fuse_ino_t, const char* data, size_t size, off_t offset,
              fuse_file_info*) {
    context(request).file->write(request, {data, size}, static_cast<std::uint64_t>(offset));
}

void on_fsync(fuse_req_t request, fuse_ino_t, int, fuse_file_info*) {
    fuse_reply_err(request, 0);
}

const fuse_lowlevel_ops& operations() {
    static const fuse_lowlevel_ops all = [] {
        fuse_lowlevel_ops some{};
        some.init = on_init;
        some.lookup = on_lookup;
        some.getattr = on_getattr;
        some.open = on_open;
        some.read = on_read;
        some.write = on_write;
        some.fsync = on_fsync;
        return some;
    }();
    return all;
}

}  // namespace

ServedFile::ServedFile(DiskImage& image, ColdModel& model)
    : image_(image),
      model_(model),
      thread_([this](const std::stop_token& stop) { answer_reads(stop); }) {}

ServedFile::~ServedFile() = default;

void ServedFile::read(fuse_req* request, Range range) {
    model_.begin();
    range.size = range.offset < size() ? std::min(range.size, size() - range.offset) : 0;
    const Time now = Clock::now();
    const Waiting read{model_.read(range, now), request, range};
    if (read.answer.at <= now) {
        thread_local std::vector<char> buffer;
        reply(read, buffer);
        return;
    }
    const std::lock_guard lock(mutex_);
    waiting_.push(read);
    changed_.notify_one();
}

void ServedFile::answer_reads(const std::stop_token& stop) {
    std::vector<char> buffer;
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
        if (waiting_.empty()) {
            changed_.wait(lock, stop, [this] { return !waiting_.empty(); });
            continue;
        }
        const Waiting next = waiting_.top();
        if (next.answer.at > Clock::now()) {
            // Returns early if one comes that is answered sooner.
            changed_.wait_until(lock, stop, next.answer.at, [this, &next] {
                return waiting_.top().answer.at < next.answer.at;
            });
            continue;
        }
        waiting_.pop();
        lock.unlock();
        reply(next, buffer);
        lock.lock();
    }
}

void ServedFile::reply(const Waiting& read, std::vector<char>& buffer) {
    model_.end();
    const int error = model_.settings().gone ? EIO : read.answer.error;
    if (error != 0) {
        fuse_reply_err(read.request, error);
        return;
    }
    if (buffer.size() < read.range.size) buffer.resize(read.range.size);
    try {
        image_.read({buffer.data(), read.range.size}, read.range.offset);
    } catch (const std::system_error& e) {
        std::fprintf(stderr, "slow_disk: %s\n", e.what());
        fuse_reply_err(read.request, EIO);
        return;
    }
    fuse_reply_buf(read.request, buffer.data(), read.range.size);
}

void ServedFile::write(fuse_req* request, std::span<const char> data, std::uint64_t offset) {
    const Answer answer = model_.write({offset, data.size()}, Clock::now());
    if (answer.error != 0 || offset + data.size() > size()) {
        fuse_reply_err(request, answer.error != 0 ? answer.error : ENOSPC);
        return;
    }
    try {
        image_.write(data, offset);
    } catch (const std::system_error& e) {
        std::fprintf(stderr, "slow_disk: %s\n", e.what());
        fuse_reply_err(request, EIO);
        return;
    }
    fuse_reply_write(request, data.size());
}

int serve(ServedFile& file, const std::string& directory, unsigned max_background) {
    Context context{&file, max_background};
    const char* arguments[] = {"slow_disk", "-o", "fsname=slow_disk"};
    fuse_args args = FUSE_ARGS_INIT(3, const_cast<char**>(arguments));
    fuse_session* session =
        fuse_session_new(&args, &operations(), sizeof(fuse_lowlevel_ops), &context);
    if (session == nullptr) return 1;
    int status = 1;
    if (fuse_set_signal_handlers(session) == 0) {
        if (fuse_session_mount(session, directory.c_str()) == 0) {
            fuse_loop_config* config = fuse_loop_cfg_create();
            fuse_loop_cfg_set_max_threads(config, kThreads);
            fuse_loop_cfg_set_idle_threads(config, kThreads);
            status = fuse_session_loop_mt(session, config) < 0 ? 1 : 0;
            fuse_loop_cfg_destroy(config);
            fuse_session_unmount(session);
        }
        fuse_remove_signal_handlers(session);
    }
    // It is not destroyed: reads that still wait will be answered, to nobody.
    return status;
}

}  // namespace slow_disk
