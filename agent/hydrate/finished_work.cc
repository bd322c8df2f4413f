#include "agent/hydrate/finished_work.h"

#include <utility>

#include "agent/base/error.h"
#include "agent/hydrate/documents.h"

namespace prebake::hydrate {

FinishedWork finished_work(const v1::Hydration& document, const std::string& plan,
                           const VolumeToRead& volume, const std::string& serial) {
    FinishedWork nothing{.done = std::vector<std::uint64_t>(volume.parts.size(), 0)};
    if (document.plan().empty() || document.plan() != plan) return nothing;
    for (const v1::HydratedVolume& before : document.volumes()) {
        if (before.uuid() != volume.uuid || before.serial() != serial) continue;
        if (before.done_chunks_size() != static_cast<int>(volume.parts.size())) return nothing;
        FinishedWork work = nothing;
        for (std::size_t i = 0; i < volume.parts.size(); ++i) {
            work.done[i] = before.done_chunks(static_cast<int>(i));
            if (work.done[i] > volume.parts[i].chunks.count()) return nothing;
        }
        try {
            work.failed = read_runs(before.failed_runs(), chunks_of_device(volume.bytes));
        } catch (const Error&) {
            return nothing;
        }
        // Of more runs than that, nobody knows which they are.
        if (before.failed_chunks() != work.failed.count()) return nothing;
        work.is_finished = before.finished();
        return work;
    }
    return nothing;
}

void set_failed(const ChunkSet& failed, v1::HydratedVolume& volume) {
    volume.set_failed_chunks(failed.count());
    volume.clear_failed_runs();
    ChunkSet first;
    for (const ChunkRun& run : failed.runs()) {
        if (first.runs().size() == kMostFailedRuns) break;
        first.add(run);
    }
    write_runs(first, *volume.mutable_failed_runs());
}

DocumentWriter::DocumentWriter(std::filesystem::path path)
    : path_(std::move(path)), thread_([this] { run(); }) {}

DocumentWriter::~DocumentWriter() {
    finish();
}

void DocumentWriter::put(v1::Hydration document) {
    const std::scoped_lock lock(mutex_);
    next_ = std::move(document);
    changed_.notify_all();
}

std::string DocumentWriter::finish() {
    {
        const std::scoped_lock lock(mutex_);
        is_over_ = true;
        changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
    return problem_;
}

void DocumentWriter::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return is_over_ || next_; });
        if (!next_) return;
        const v1::Hydration document = *std::exchange(next_, std::nullopt);
        lock.unlock();
        std::string problem;
        try {
            write_hydration(path_, document);
        } catch (const Error& error) {
            problem = error.what();
        }
        lock.lock();
        problem_ = problem;
    }
}

}  // namespace prebake::hydrate
