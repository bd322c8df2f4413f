#include "agent/hydrate/hydrator.h"

#include <algorithm>
#include <future>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "agent/base/boot.h"
#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/json.h"
#include "agent/base/sha256.h"
#include "agent/base/timestamp.h"
#include "agent/hydrate/block_reading.h"
#include "agent/hydrate/documents.h"
#include "agent/hydrate/ending.h"
#include "agent/hydrate/file_reading.h"
#include "agent/hydrate/finished_work.h"
#include "agent/hydrate/hydration_report.h"
#include "agent/hydrate/open_volumes.h"
#include "agent/hydrate/trace.h"

namespace prebake::hydrate {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// The whole probe, if the disk does not answer.
constexpr std::chrono::milliseconds kFirstReads{1500};
constexpr std::chrono::milliseconds kSecondReads{1000};
constexpr std::chrono::seconds kNoTime{0};
constexpr std::chrono::seconds kPublished{1};
constexpr std::chrono::seconds kSaved{10};

/// One hydration, from the plan to the last document.
class HydrationRun {
  public:
    HydrationRun(const HydratorOptions& options, std::stop_token stop)
        : options_(options),
          stop_(std::move(stop)),
          started_(std::chrono::steady_clock::now()),
          published_document_(progress_path(options.runtime_dir)) {
        const auto now = std::chrono::system_clock::now();
        *document_.mutable_started_at() = to_timestamp(now);
        document_.set_schema("prebake.v1.Hydration");
        document_.set_trigger(options_.mode == HydrateMode::on ? "on" : "auto");
        try {
            document_.set_boot_id(read_boot_id());
        } catch (const Error&) {
            // A container without /proc: it is only shown.
        }
    }

    v1::Hydration run() {
        if (options_.mode == HydrateMode::off) {
            return end({"off", "hydrate.mode is \"off\"", ""});
        }
        try {
            if (!read_the_plan()) {
                return end({"no_plan", "there is no plan of what to read",
                            "bake with this version of prebake, which makes one"});
            }
            find_volumes();
            probe();
            return read();
        } catch (const Error& error) {
            end({"failed", error.message(), error.next_step()});
            throw;
        }
    }

  private:
    bool read_the_plan() {
        const std::filesystem::path path = plan_path(options_.state_dir);
        std::string text;
        try {
            text = read_file(path, kMaxPlanBytes);
        } catch (const Error& error) {
            if (error.code() == Errc::not_found) return false;
            throw;
        }
        plan_ = parse_plan(text, path.string());
        plan_text_ = std::move(text);
        return true;
    }

    /// OpenSSL reads its configuration for the first hash, which may be cold: not on this thread,
    /// which has to see when reads end.
    void begin_hash() {
        if (plan_hash_.valid() || !document_.plan().empty()) return;
        plan_hash_ = std::async(std::launch::async, [text = std::move(plan_text_)] {
            return "sha256:" + sha256_hex(text);
        });
    }

    void await_hash() {
        begin_hash();
        if (plan_hash_.valid()) document_.set_plan(plan_hash_.get());
    }

    v1::Hydration read_finished() const {
        if (options_.repetition == Repetition::again) return {};
        try {
            return read_hydration(finished_path(options_.state_dir));
        } catch (const Error& error) {
            if (error.code() != Errc::not_found) {
                note(NoteLevel::warning, "all is read again: " + error.message());
            }
            return {};
        }
    }

    void find_volumes() {
        PlannedVolumes planned = options_.find_volumes(plan_);
        const v1::Hydration before = read_finished();
        if (!before.plan().empty()) await_hash();
        if (before.plan() == document_.plan()) seconds_before_ = before.seconds();
        VolumesToRead opened =
            open_volumes(plan_, std::move(planned), before, document_.plan(), options_);
        volumes_ = std::move(opened.volumes);
        file_volumes_ = std::move(opened.file_volumes);
        file_systems_ = std::move(opened.file_systems);
        on_machine_ = std::move(opened.on_machine);
        for (const VolumeReading& volume : volumes_) {
            *document_.add_volumes() = volume_document(volume.planned, volume.disk);
        }
    }

    void probe() {
        if (std::ranges::all_of(volumes_, &VolumeReading::is_finished_before)) return;
        state("probing", "");
        ChosenQueue chosen = make_read_queue(2 * options_.depth + 128);
        queue_ = std::move(chosen.queue);
        document_.set_method(queue_->name());
        surroundings_.emplace(Surroundings{
            .watch = ForegroundWatch(disks_of(volumes_), {.states = options_.containerd_states}),
            .images = ImageDirectories(plan_)});
        configured_state_ = configured_containerd_state(options_.containerd_config);
        // From the first read on, this thread does nothing that may wait: the probe measures the
        // time until it takes a read that has ended.
        for (VolumeReading& volume : volumes_) {
            if (volume.is_finished_before) continue;
            begin_log(volume);
            volume.prober = std::make_unique<Prober>(
                *queue_, volume.device.get(), chunks_to_probe(chunks_left(volume)), next_tag_);
            volume.prober->start(std::chrono::steady_clock::now());
        }
        if (!chosen.why_threads.empty()) {
            note(NoteLevel::info, "reading with threads: " + chosen.why_threads);
        }
        begin_hash();
        publish();
        wait_for_probes(kFirstReads, &Prober::has_first);
        for (VolumeReading& volume : volumes_) {
            if (volume.prober) volume.prober->go_on(std::chrono::steady_clock::now());
        }
        // Where the model says enough, reading begins while the probe goes on.
        const bool is_certain = std::ranges::all_of(volumes_, [&](const VolumeReading& volume) {
            return !volume.prober || options_.mode == HydrateMode::on ||
                   is_lazy_kind(volume.disk.kind);
        });
        if (!is_certain) wait_for_probes(kSecondReads, &Prober::has_second);
        for (std::size_t i = 0; i < volumes_.size(); ++i) decide(volumes_[i], static_cast<int>(i));
    }

    void add_configured_state() {
        if (!configured_state_.valid()) return;
        if (configured_state_.wait_for(kNoTime) != std::future_status::ready) return;
        const std::filesystem::path state = configured_state_.get();
        if (!state.empty()) surroundings_->watch.add_state(state);
    }

    void wait_for_probes(std::chrono::milliseconds limit, bool (Prober::*has_answer)() const) {
        const auto end = std::chrono::steady_clock::now() + limit;
        const auto is_done = [&] {
            return std::ranges::all_of(volumes_, [&](const VolumeReading& volume) {
                return !volume.prober || (*volume.prober.*has_answer)();
            });
        };
        while (!is_done() && !stop_.stop_requested()) {
            const auto left = end - std::chrono::steady_clock::now();
            if (left <= std::chrono::nanoseconds(0)) return;
            const auto done = queue_->wait(
                std::min<std::chrono::nanoseconds>(left, std::chrono::milliseconds(50)));
            for (VolumeReading& volume : volumes_) {
                if (done && volume.prober && volume.prober->take(*done)) break;
            }
        }
    }

    void decide(VolumeReading& volume, int index) {
        v1::HydratedVolume& entry = *document_.mutable_volumes(index);
        if (volume.is_finished_before) {
            volume.decision.why = "it was read before";
            entry.set_lazy(true);
            return;
        }
        volume.mode = options_.mode;
        volume.verdict = volume.prober->verdict();
        volume.decision = decide_lazy(options_.mode, volume.disk, volume.verdict);
        volume.control =
            DepthControl({.start = first_depth(volume.verdict.cold_read, options_.depth),
                          .most = options_.depth,
                          .cold_read = volume.verdict.cold_read});
        describe_volume(volume, entry);
        note(NoteLevel::info, volume.planned.device.string() + ": " + volume.decision.why);
    }

    v1::Hydration read() {
        const bool has_blocks = std::ranges::any_of(
            volumes_, [](const VolumeReading& volume) { return volume.decision.is_read; });
        for (const v1::HydratedVolume& volume : file_volumes_) *document_.add_volumes() = volume;
        if (!has_blocks && file_systems_.empty()) return end_without_reading();
        ReadingEnd ending = ReadingEnd::all;
        if (has_blocks) ending = read_blocks();
        if (ending == ReadingEnd::all && !file_systems_.empty()) ending = read_files();
        return end_reading(ending);
    }

    SteadyTime deadline() const {
        return options_.extent == Extent::all ? SteadyTime::max() : started_ + options_.deadline;
    }

    std::uint64_t rate() const { return options_.extent == Extent::all ? 0 : options_.rate; }

    ReadingEnd read_blocks() {
        document_.set_mode("blocks");
        state("hydrating", "");
        WorkList list(work_of(volumes_));
        DocumentWriter saver(finished_path(options_.state_dir));
        BlockReading reading(volumes_, list, *queue_, next_tag_, *surroundings_,
                             {.depth = options_.depth,
                              .rate = rate(),
                              .yields = options_.extent == Extent::planned,
                              .read_limit = options_.read_limit,
                              .deadline = deadline()});
        const auto update = [&] { update_blocks(list, reading, saver); };
        const ReadingEnd ending = reading.run(stop_, update);
        update();
        if (ending == ReadingEnd::all) document_.set_eta_seconds(0);
        saver.put(saved());
        const std::string problem = saver.finish();
        if (!problem.empty()) note(NoteLevel::warning, problem + "; it is read again next time");
        for (const VolumeReading& volume : volumes_) {
            for (const std::string& trouble : {volume.trouble, volume.shrunk}) {
                if (!trouble.empty()) troubles_.push_back(trouble);
            }
        }
        return ending;
    }

    void update_blocks(const WorkList& list, const BlockReading& reading, DocumentWriter& saver) {
        add_configured_state();
        note_promoted(reading.progress().promoted);
        const double seconds = elapsed();
        const auto over = update_ranks(list, seconds, document_);
        std::vector<v1::HydratedVolume*> entries;
        for (std::size_t i = 0; i < volumes_.size(); ++i) {
            v1::HydratedVolume& entry = *document_.mutable_volumes(static_cast<int>(i));
            entries.push_back(&entry);
            if (!volumes_[i].prober) continue;
            describe_volume(volumes_[i], entry);
            if (volumes_[i].touch == Touch::works) document_.set_mode("touch");
        }
        update_volumes(list, volumes_, entries);
        document_.set_seconds(seconds_before_ + seconds);
        document_.set_depth(reading.progress().depth);
        document_.set_yields(reading.progress().yields);
        document_.set_bytes_per_second(reading.progress().bytes_per_second);
        std::uint64_t left = 0;
        for (const auto& rank : document_.ranks()) left += rank.total_bytes() - rank.bytes();
        const double per_second = document_.bytes_per_second();
        document_.set_eta_seconds(per_second > 0 ? static_cast<double>(left) / per_second : 0);
        if (file_systems_.empty() && is_traced_done(list)) set_traced();
        for (const v1::HydrationRank rank : over) {
            note(NoteLevel::info, rank_summary(document_, rank));
        }
        const auto now = std::chrono::steady_clock::now();
        if (!over.empty() || now - published_ >= kPublished) publish();
        if (!over.empty() || now - saved_ >= kSaved) {
            saved_ = now;
            saver.put(saved());
        }
        if (options_.on_progress) options_.on_progress(document_);
    }

    void note_promoted(const std::vector<StartingImage>& images) {
        for (std::size_t i = document_.promoted_images(); i < images.size(); ++i) {
            note(NoteLevel::info, promotion_note(images[i]));
        }
        document_.set_promoted_images(static_cast<std::uint32_t>(images.size()));
    }

    /// What outlives the boot.
    v1::Hydration saved() {
        await_hash();
        v1::Hydration document = document_;
        *document.mutable_updated_at() = to_timestamp(std::chrono::system_clock::now());
        return document;
    }

    ReadingEnd read_files() {
        document_.set_mode("files");
        if (document_.method().empty()) document_.set_method("threads");
        state("hydrating", "");
        v1::HydratedRank* rank = nullptr;
        FileProgress last;
        const auto finish_rank = [&] {
            if (rank == nullptr) return;
            rank->set_total_bytes(rank->bytes());
            rank->set_seconds(elapsed());
            if (last.failed > 0) {
                troubles_.push_back(counted(last.failed, "file") + " could not be read");
            }
            if (last.missing > 0) {
                on_machine_.absent.push_back(counted(last.missing, "path") + " of the plan, as " +
                                             last.first_missing + ", not there");
            }
            note(NoteLevel::info,
                 rank_summary(document_, rank->rank()) + ", as " + counted(last.files, "file"));
        };
        const ReadingEnd ending = read_planned_files(
            plan_, read_traces_if_possible(), file_systems_,
            {.threads = std::min(options_.depth, 16U), .rate = rate(), .deadline = deadline()},
            stop_,
            [&](v1::HydrationRank next) {
                finish_rank();
                if (next != v1::METADATA && next != v1::TRACED) set_traced();
                rank = document_.add_ranks();
                rank->set_rank(next);
            },
            [&](const FileProgress& progress) {
                last = progress;
                rank->set_bytes(progress.bytes);
                document_.set_seconds(seconds_before_ + elapsed());
                if (std::chrono::steady_clock::now() - published_ >= kPublished) publish();
                if (options_.on_progress) options_.on_progress(document_);
            });
        if (ending == ReadingEnd::all) {
            finish_rank();
            set_traced();
        }
        return ending;
    }

    v1::ReadTrace read_traces_if_possible() const {
        try {
            return read_traces(options_.state_dir);
        } catch (const Error& error) {
            note(NoteLevel::warning, "no file is read before others: " + error.message());
            return {};
        }
    }

    void set_traced() {
        if (document_.has_traced_at()) return;
        *document_.mutable_traced_at() = to_timestamp(std::chrono::system_clock::now());
    }

    v1::Hydration end_without_reading() {
        for (const VolumeReading& volume : volumes_) {
            if (!volume.is_finished_before) {
                on_machine_.left_out.push_back(volume.decision.why);
                continue;
            }
            ++on_machine_.finished;
            add_finished_ranks(volume.planned, document_);
            document_.set_seconds(seconds_before_);
        }
        return end(ending_without_reading(on_machine_));
    }

    v1::Hydration end_reading(ReadingEnd reading_end) {
        std::uint64_t failed = 0;
        for (const v1::HydratedVolume& volume : document_.volumes()) {
            failed += volume.failed_chunks();
        }
        if (failed > 0) troubles_.push_back(counted(failed, "chunk") + " could not be read");
        return end(ending_of_reading({.end = reading_end,
                                      .deadline = options_.deadline,
                                      .troubles = troubles_,
                                      .summary = summary_of(document_)},
                                     on_machine_));
    }

    v1::Hydration end(const Ending& ending) {
        document_.set_depth(0);
        document_.set_bytes_per_second(0);
        document_.set_eta_seconds(0);
        document_.set_next_step(ending.next_step);
        *document_.mutable_finished_at() = to_timestamp(std::chrono::system_clock::now());
        if (!plan_text_.empty() || plan_hash_.valid()) await_hash();
        state(ending.state, ending.message);
        const std::string problem = published_document_.finish();
        if (!problem.empty()) throw Error(Errc::io, problem);
        return document_;
    }

    void state(const std::string& name, const std::string& message) {
        document_.set_state(name);
        document_.set_message(message);
        publish();
    }

    void publish() {
        published_ = std::chrono::steady_clock::now();
        *document_.mutable_updated_at() = to_timestamp(std::chrono::system_clock::now());
        published_document_.put(document_);
    }

    void note(NoteLevel level, const std::string& text) const {
        if (options_.note) options_.note(level, text);
    }

    double elapsed() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    }

    const HydratorOptions& options_;
    std::stop_token stop_;
    SteadyTime started_;
    SteadyTime published_{};
    SteadyTime saved_{};
    double seconds_before_ = 0;
    v1::HydrationPlan plan_;
    std::string plan_text_;
    std::future<std::string> plan_hash_;
    DocumentWriter published_document_;
    v1::Hydration document_;
    std::vector<VolumeReading> volumes_;
    std::vector<v1::HydratedVolume> file_volumes_;
    std::vector<dev_t> file_systems_;
    std::optional<Surroundings> surroundings_;
    std::future<std::filesystem::path> configured_state_;
    std::vector<std::string> troubles_;
    PlanOnMachine on_machine_;
    std::uint64_t next_tag_ = 1;
    std::unique_ptr<ReadQueue> queue_;  // last: it ends before the devices are closed
};

FileLock lock_hydration(const std::filesystem::path& runtime_dir) {
    std::error_code ignored;  // the lock says what is wrong
    std::filesystem::create_directories(runtime_dir, ignored);
    try {
        return FileLock(runtime_dir / "hydrate.lock");
    } catch (const Error& error) {
        if (error.code() != Errc::conflict) throw;
        throw Error(Errc::conflict, "another prebake hydrate is running",
                    "wait for it: systemctl status prebake-hydrate.service");
    }
}

}  // namespace

v1::Hydration hydrate(const HydratorOptions& options, const std::stop_token& stop) {
    const FileLock lock = lock_hydration(options.runtime_dir);
    return HydrationRun(options, stop).run();
}

}  // namespace prebake::hydrate
