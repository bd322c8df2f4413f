#include "agent/hydrate/open_volumes.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <set>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/hydrate/disk.h"
#include "agent/hydrate/finished_work.h"
#include "agent/hydrate/hydration_report.h"

namespace prebake::hydrate {
namespace {

class VolumeOpener {
  public:
    VolumeOpener(const v1::HydrationPlan& plan, const HydratorOptions& options)
        : plan_(plan), options_(options) {}

    VolumesToRead open(PlannedVolumes planned, const v1::Hydration& before,
                       const std::string& plan_hash) {
        for (VolumeToRead& volume : planned.found) {
            add_volume(std::move(volume), before, plan_hash);
        }
        for (const MovedVolume& moved : planned.moved) add_moved(moved);
        if (plan_.volumes().empty()) add_files_without_places();
        return std::move(opened_);
    }

  private:
    void add_volume(VolumeToRead planned, const v1::Hydration& before,
                    const std::string& plan_hash) {
        VolumeReading volume{.planned = std::move(planned)};
        volume.disk = find_disk(volume.planned.number);
        FinishedWork finished =
            finished_work(before, plan_hash, volume.planned, volume.disk.serial);
        volume.done = std::move(finished.done);
        volume.failed_before = std::move(finished.failed);
        volume.is_finished_before = finished.is_finished && volume.failed_before.empty();
        const std::filesystem::path& path = volume.planned.device;
        volume.device = FileDescriptor(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
        if (!volume.device && !volume.is_finished_before) {
            const Error refused = errno_error("cannot open", path);
            note(NoteLevel::warning, refused.message() + "; its files are read instead");
            return add_files(volume.planned.uuid, volume.planned.number, volume.disk,
                             refused.message());
        }
        volume.bytes = volume.planned.bytes;
        if (volume.device) {
            volume.bytes = bytes_of_open_device(volume.device.get()).value_or(volume.bytes);
        }
        opened_.volumes.push_back(std::move(volume));
    }

    void add_moved(const MovedVolume& moved) {
        if (moved.mount_point.empty()) {
            v1::HydratedVolume absent;
            absent.set_uuid(moved.uuid);
            absent.set_why("the volume " + moved.uuid + " is not here: " + moved.why);
            note(NoteLevel::warning, absent.why());
            opened_.on_machine.absent.push_back(absent.why());
            opened_.file_volumes.push_back(std::move(absent));
            return;
        }
        add_files(moved.uuid, moved.number, find_disk(moved.number), moved.why);
    }

    /// Of file systems that do not say where files are on the disk, a plan has only names.
    void add_files_without_places() {
        std::set<dev_t> known;
        for (const v1::PlannedFiles& files : plan_.files()) {
            for (const std::string& path : files.paths()) {
                struct stat found {};
                if (::lstat(path.c_str(), &found) != 0) continue;
                if (!known.insert(found.st_dev).second) continue;
                add_files("", found.st_dev, find_disk(found.st_dev),
                          "the plan has the names of files on the device " +
                              device_text(found.st_dev) + ", but not their places");
            }
        }
        if (known.empty() && !plan_.files().empty()) {
            opened_.on_machine.absent.emplace_back("none of the files of the plan is here");
        }
    }

    /// A file system whose files are read, because its device cannot be, or has them elsewhere.
    void add_files(const std::string& uuid, dev_t number, const Disk& disk,
                   const std::string& why) {
        VolumeToRead planned;
        planned.uuid = uuid;
        v1::HydratedVolume entry = volume_document(planned, disk);
        const bool is_lazy = is_lazy_kind(disk.kind);
        entry.set_lazy(is_lazy);
        entry.set_why(why);
        // Without its device there is no probe: the model decides.
        if (is_lazy || options_.mode == HydrateMode::on) {
            opened_.file_systems.push_back(number);
        } else {
            entry.set_why(why + "; whether its disk is cold was not measured");
            opened_.on_machine.left_out.push_back(entry.why());
            opened_.on_machine.is_measured = false;
        }
        opened_.file_volumes.push_back(std::move(entry));
    }

    void note(NoteLevel level, const std::string& text) const {
        if (options_.note) options_.note(level, text);
    }

    const v1::HydrationPlan& plan_;
    const HydratorOptions& options_;
    VolumesToRead opened_;
};

}  // namespace

VolumesToRead open_volumes(const v1::HydrationPlan& plan, PlannedVolumes planned,
                           const v1::Hydration& before, const std::string& plan_hash,
                           const HydratorOptions& options) {
    return VolumeOpener(plan, options).open(std::move(planned), before, plan_hash);
}

}  // namespace prebake::hydrate
