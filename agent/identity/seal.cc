#include "agent/identity/seal.h"

#include <fcntl.h>
#include <google/protobuf/util/time_util.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/wait.h"
#include "agent/identity/attempted_step.h"
#include "agent/identity/builder_values.h"
#include "agent/identity/claim.h"
#include "agent/identity/fingerprints.h"
#include "agent/identity/survey.h"
#include "agent/machine/attached_places.h"
#include "agent/machine/drop_ins.h"
#include "agent/machine/file_calls.h"
#include "agent/machine/instance.h"

namespace prebake::identity {
namespace {

/// Limit for all seals of one image together.
constexpr int kMaxOldFingerprints = 256;

/// Directories that are often file systems of their own.
constexpr std::array<std::string_view, 14> kMountPoints{
    "/",    "/boot", "/boot/efi", "/etc",     "/home",    "/opt",           "/root",
    "/srv", "/tmp",  "/var",      "/var/lib", "/var/log", "/var/log/audit", "/var/tmp"};

std::string_view to_string(Change::Kind kind) {
    switch (kind) {
        case Change::Kind::remove:
            return "remove";
        case Change::Kind::truncate:
            return "truncate";
        case Change::Kind::write:
            return "write";
    }
    return "";
}

void add_change(v1::SealedItem& item, const Change& change) {
    v1::PathChange& added = *item.add_changes();
    added.set_kind(std::string(to_string(change.kind)));
    added.set_path(printable(change.path));
}

/// Removals must be on the disk before the claim records them.
void sync_file_systems(const machine::Root& root) {
    std::set<dev_t> synced;
    for (const std::string_view path : kMountPoints) {
        const std::optional<machine::FileInfo> info = root.info(path);
        if (!info || info->type != machine::FileType::directory) continue;
        const FileDescriptor place = root.open_directory(path);
        // syncfs(2) refuses a descriptor with O_PATH.
        const FileDescriptor fd(::openat(place.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        struct stat status {};
        if (!fd || ::fstat(fd.get(), &status) != 0)
            throw machine::file_error("cannot open", root.outside(path));
        if (synced.insert(status.st_dev).second && ::syncfs(fd.get()) != 0)
            throw machine::file_error("cannot sync the file system of", root.outside(path));
    }
}

class Sealing {
  public:
    Sealing(const machine::Root& root, const SealOptions& options, const std::stop_token& stop)
        : root_(root), options_(options), stop_(stop) {
        report_.set_schema("prebake.v1.SealReport");
        report_.set_root(printable(root.outside("/").string()));
        report_.set_dry_run(options.mode == SealMode::dry_run);
    }

    v1::SealReport dry_run() {
        work_on_items();
        return std::move(report_);
    }

    v1::SealReport run() {
        const bool is_to_quiesce = root_.is_running_machine() && options_.occasion == Occasion::now;
        if (is_to_quiesce) refuse_to_stop_ourselves(options_.services);
        refuse_state_of_others();
        const FileLock lock = lock_in_state_dir("bake.lock");
        // A running first boot ends with its unit, and releases its lock.
        if (is_to_quiesce)
            add_steps(stop_services(StopPhase::orchestrators, options_.services, stop_));
        const FileLock first_boot = lock_out_first_boot();
        begin();
        if (root_.is_running_machine()) {
            quiesce_machine();
            run_drop_ins();
        }
        work_on_items();
        if (options_.scope.only.empty()) {
            try_to("ledger", "remove it, then seal again", [&] { remove_machines_own_files(); });
        }
        try_to("sync", "seal again", [&] { sync_file_systems(root_); });
        record();
        return std::move(report_);
    }

  private:
    /// The state directory of this machine, mounted into an image, would get the image's claim.
    void refuse_state_of_others() const {
        if (root_.is_running_machine()) return;
        machine::AttachedPlaces places(root_);
        const std::string claim = root_.resolved_for_change(options_.state_dir + "/claim.json");
        if (const auto reason = machine::why_not_to_change(root_, places.place_of(claim)))
            throw Error(*reason);
    }

    /// Seal and bake exclude each other: one would remove what the other just wrote.
    FileLock lock_in_state_dir(std::string_view name) const {
        const std::string path = options_.state_dir + "/" + std::string(name);
        return FileLock(root_.open_lock(path), root_.outside(path));
    }

    /// First boot writes the same claim, under its own lock, so that a bake need not wait for it.
    FileLock lock_out_first_boot() const {
        try {
            return lock_in_state_dir("firstboot.lock");
        } catch (const Error& error) {
            if (error.code() != Errc::conflict) throw;
            throw Error(Errc::conflict, error.message(), "wait for prebake-online.service to end");
        }
    }

    void add_steps(const std::vector<v1::Step>& steps) {
        for (const v1::Step& step : steps) {
            *report_.add_steps() = step;
            if (step.outcome() == v1::Step::FAILED) report_.set_failed(report_.failed() + 1);
        }
    }

    /// Runs a step that is reported only if it fails.
    void try_to(const std::string& name, const std::string& next_step,
                const std::function<void()>& work) {
        const v1::Step step = attempt_step(name, next_step, work);
        if (step.outcome() == v1::Step::FAILED) add_steps({step});
    }

    void remove_machines_own_files() {
        for (const std::string_view name : kMachinesOwnFiles) {
            const std::string path = options_.state_dir + "/" + std::string(name);
            if (root_.info(path)) root_.remove(path);
        }
    }

    /// Reads the claim and takes the fingerprints of what will be removed. They are stored at once:
    /// a seal that is killed or fails has already removed some of them.
    void begin() {
        std::string warning;
        claim_ = read_claim(root_, options_.state_dir, warning);
        if (!warning.empty()) {
            v1::Step& step = *report_.add_steps();
            step.set_name("read the claim");
            step.set_outcome(v1::Step::DONE);
            step.set_message(warning);
        }
        was_sealed_ = claim_.state() == v1::Claim::SEALED;
        boot_id_ = machine::read_host_facts(machine::Root("/")).kernel_boot_id;
        previous_boot_id_ = claim_.seal().boot_id();
        // From the same boot: an earlier attempt that was not completed.
        const bool goes_on = !boot_id_.empty() && boot_id_ == previous_boot_id_;
        if (was_sealed_ || goes_on) seal_ = claim_.seal();
        if (seal_.salt().empty()) seal_.set_salt(make_salt());
        add_fingerprints();
        add_values();
        *seal_.mutable_by() = without_needless_uuid(sealer());
        seal_.set_boot_id(boot_id_);
        seal_.set_prebake_version(options_.prebake_version);
        seal_.set_baked_images(options_.baked_images);
        *seal_.mutable_at() = google::protobuf::util::TimeUtil::GetCurrentTime();
        if (was_sealed_ || !options_.scope.only.empty()) return;
        try {
            write_claim(root_, options_.state_dir, claim_while_sealing());
        } catch (const Error&) {
            // On a full disk the seal itself frees the space. If it does not, record() reports it.
        }
    }

    /// The claim while the seal runs: UNCLAIMED. With the old claim, a seal that is interrupted
    /// would leave a machine that counts as claimed but has lost keys. The owner is kept as the
    /// builder, where a clone finds it.
    v1::Claim claim_while_sealing() const {
        v1::Claim claim;
        claim.set_schema("prebake.v1.Claim");
        claim.set_prebake_version(options_.prebake_version);
        *claim.mutable_seal() = seal_;
        if (claim_.has_instance()) {
            *claim.mutable_builder() = claim_.instance();
        } else if (claim_.has_builder()) {
            *claim.mutable_builder() = claim_.builder();
        }
        return claim;
    }

    void add_fingerprints() {
        std::vector<Item> sealed;
        for (const Item& item : items()) {
            if (treatment_of(item, options_.scope) == Treatment::seal) sealed.push_back(item);
        }
        std::set<std::string> known;
        for (const v1::Fingerprint& fingerprint : seal_.fingerprints())
            known.insert(fingerprint.path() + '\n' + fingerprint.hash());
        for (v1::Fingerprint& fingerprint : take_fingerprints(root_, sealed, seal_.salt())) {
            if (seal_.fingerprints_size() == kMaxOldFingerprints) return;
            if (known.insert(fingerprint.path() + '\n' + fingerprint.hash()).second)
                *seal_.add_fingerprints() = std::move(fingerprint);
        }
    }

    /// What the machine is called, unless the items that remove it are skipped: check() searches
    /// for it only then.
    void add_values() {
        BuilderValues values;
        try {
            values = builder_values(root_);
        } catch (const Error&) {
            return;  // the survey of the items reports what cannot be read
        }
        if (!searches_for_names(options_.scope)) values.names.clear();
        if (!searches_for_mac_addresses(options_.scope)) values.mac_addresses.clear();
        std::set<std::string> known;
        for (const v1::Fingerprint& value : seal_.values()) known.insert(value.hash());
        for (v1::Fingerprint& value : hashes_of(values, seal_.salt())) {
            if (seal_.values_size() == kMaxOldFingerprints) return;
            if (known.insert(value.hash()).second) *seal_.add_values() = std::move(value);
        }
    }

    /// If the firmware names the instance, its UUID is not needed to recognize it. On EC2 it is
    /// even the machine-id that is being removed: systemd derives the ID from the UUID.
    static v1::Instance without_needless_uuid(v1::Instance instance) {
        if (instance.source() == "board_asset_tag") instance.clear_hardware_uuid();
        return instance;
    }

    /// The machine that is sealed; for an image, the machine in its claim.
    v1::Instance sealer() const {
        const v1::Instance& known = claim_.has_instance() ? claim_.instance()
                                    : was_sealed_         ? claim_.seal().by()
                                                          : claim_.builder();
        if (!root_.is_running_machine()) return known;
        const v1::Instance here = machine::identify(machine::read_host_facts(root_));
        return machine::compare(here, known) == machine::Sameness::same
                   ? machine::merged(here, known)
                   : here;
    }

    void quiesce_machine() {
        const auto do_part = [&](StopPhase part) {
            add_steps(stop_services(part, options_.services, stop_));
        };
        if (options_.occasion == Occasion::now) {
            // In a chroot the containers would be another machine's.
            if (options_.remove_containers && is_managed_by_systemd()) {
                add_steps(
                    {attempt_step("remove containers", "remove them manually, then seal again",
                                  options_.remove_containers)});
            }
            do_part(StopPhase::writers);
        }
        add_steps(switch_swap_files_off(stop_));
        do_part(StopPhase::journal);
    }

    void run_drop_ins() {
        const std::string& directory = options_.drop_in_dir;
        machine::DropIns drop_ins;
        try_to("seal.d", "see the directory's owner and mode",
               [&] { drop_ins = machine::drop_ins_in(root_, directory); });
        for (const machine::RefusedDropIn& refused : drop_ins.refused) {
            try_to("seal.d/" + refused.name, "", [&] {
                throw Error(
                    refused.reason.code(),
                    directory + "/" + refused.name + " was not run: " + refused.reason.message(),
                    refused.reason.next_step());
            });
        }
        const machine::DropInRun run{.environment = {{"PREBAKE_ROOT", root_.outside("/").string()},
                                                     {"PREBAKE_STATE_DIR", options_.state_dir}}};
        for (const std::string& name : drop_ins.names) {
            add_steps({attempt_step("seal.d/" + name, "see what it says, then seal again", [&] {
                machine::run_drop_in(root_, directory, name, run, stop_);
            })});
        }
    }

    /// A link that is not followed does not fail the seal: its target is sealed like any other
    /// file. If it is not known what to keep, nothing is removed.
    bool find_kept() {
        v1::SealedItem item;
        item.set_name(std::string(kKeptPaths));
        item.set_outcome(v1::SealedItem::CLEAN);
        try {
            kept_ = kept_files(root_, options_.scope, options_.state_dir);
        } catch (const Error& error) {
            item.set_outcome(v1::SealedItem::FAILED);
            *item.add_problems() = printable_problem(error);
            report_.set_failed(report_.failed() + 1);
        }
        add_not_followed(item, kept_.problems);
        if (item.problems_size() + item.not_followed_size() > 0) *report_.add_items() = item;
        return item.outcome() != v1::SealedItem::FAILED;
    }

    static void add_not_followed(v1::SealedItem& item, const std::vector<Error>& links) {
        for (const Error& link : links) *item.add_not_followed() = printable_problem(link);
    }

    void work_on_items() {
        if (!find_kept()) return;
        for (const Item& item : items()) {
            work_on(item.name, treatment_of(item, options_.scope), item.on_clone,
                    [&] { return survey(root_, item, options_.scope.settings, kept_); });
        }
        const std::vector<std::string>& paths = options_.scope.remove;
        if (paths.empty()) return;
        work_on(kConfiguredPaths, options_.scope.only.empty() ? Treatment::seal : Treatment::skip,
                OnClone::keep, [&] { return survey_paths(root_, paths, kept_); });
    }

    void work_on(std::string_view name, Treatment treatment, OnClone on_clone,
                 const std::function<Pending()>& look) {
        throw_if_stopped(stop_);
        v1::SealedItem& item = *report_.add_items();
        item.set_name(std::string(name));
        switch (treatment) {
            case Treatment::skip:
                item.set_outcome(v1::SealedItem::SKIPPED);
                break;
            case Treatment::report:
                tell(item, look(), v1::SealedItem::NOTED, v1::SealedItem::NOTED);
                break;
            case Treatment::seal:
                if (report_.dry_run()) {
                    tell(item, look(), v1::SealedItem::CHANGED, v1::SealedItem::FAILED);
                    report_.set_changes(report_.changes() +
                                        static_cast<std::uint32_t>(item.changes_size()));
                } else {
                    carry_out(item, on_clone, look);
                }
                break;
        }
        if (item.outcome() == v1::SealedItem::FAILED) report_.set_failed(report_.failed() + 1);
        if (options_.on_item) options_.on_item(item);
    }

    static void tell(v1::SealedItem& item, const Pending& pending,
                     v1::SealedItem::Outcome if_changes, v1::SealedItem::Outcome if_problems) {
        for (const Change& change : pending.changes) add_change(item, change);
        for (const Error& problem : pending.problems)
            *item.add_problems() = printable_problem(problem);
        add_not_followed(item, pending.not_followed);
        item.set_outcome(!pending.problems.empty()  ? if_problems
                         : !pending.changes.empty() ? if_changes
                                                    : v1::SealedItem::CLEAN);
    }

    /// A partial seal leaves the claim as it is, unless it removes what first boot creates only on
    /// an unclaimed machine. Otherwise the next boot would have no keys.
    void give_up_claim_for(const Pending& pending, OnClone on_clone) {
        const bool is_claimed =
            claim_.state() == v1::Claim::CLAIMED || claim_.state() == v1::Claim::CLAIMING;
        if (options_.scope.only.empty() || !is_claimed || is_claim_given_up_) return;
        if (on_clone != OnClone::renew || pending.changes.empty()) return;
        write_claim(root_, options_.state_dir, claim_while_sealing());
        is_claim_given_up_ = true;
    }

    bool is_there(const std::string& path) const {
        try {
            return root_.info(path).has_value();
        } catch (const Error&) {
            return true;  // if in doubt
        }
    }

    /// Surveys again at the end: what counts is what is left. The second survey does not see
    /// everything, because an item may change the file that names what it removes (fstab, for a
    /// swap file).
    void carry_out(v1::SealedItem& item, OnClone on_clone, const std::function<Pending()>& look) {
        std::map<std::string, Error> failures;
        const Pending pending = look();
        try {
            give_up_claim_for(pending, on_clone);
        } catch (const Error& error) {
            *item.add_problems() = printable_problem(error);
            item.set_outcome(v1::SealedItem::FAILED);
            return;
        }
        for (const Change& change : pending.changes) {
            try {
                const bool is_incomplete = !failures.empty() || !pending.problems.empty();
                if (change.kind == Change::Kind::write && is_incomplete) {
                    throw Error(Errc::failed_precondition,
                                root_.outside(change.path).string() +
                                    " was not rewritten, because the rest could not be done",
                                "see the other problems of this item, then seal again");
                }
                apply(root_, change);
                add_change(item, change);
            } catch (const Error& error) {
                failures.emplace(change.path, error);
            }
        }
        Pending left = look();
        for (const auto& [path, failure] : failures) {
            const std::string& name = path;
            const bool is_pending =
                std::any_of(left.changes.begin(), left.changes.end(),
                            [&](const Change& change) { return change.path == name; });
            if (!is_pending && is_there(path)) left.problems.push_back(failure);
        }
        for (const Error& problem : left.problems)
            *item.add_problems() = printable_problem(problem);
        add_not_followed(item, left.not_followed);
        for (const Change& change : left.changes) {
            const auto failure = failures.find(change.path);
            *item.add_problems() = printable_problem(
                failure != failures.end()
                    ? failure->second
                    : Error(Errc::conflict,
                            root_.outside(change.path).string() + " came back after it was sealed",
                            "stop what writes it, then seal again"));
        }
        item.set_outcome(item.problems_size() > 0  ? v1::SealedItem::FAILED
                         : item.changes_size() > 0 ? v1::SealedItem::CHANGED
                                                   : v1::SealedItem::CLEAN);
        report_.set_changes(report_.changes() + static_cast<std::uint32_t>(item.changes_size()));
    }

    void record() {
        if (report_.failed() > 0) return;
        if (!was_sealed_ && !options_.scope.only.empty()) return;
        // Sealed again after a reboot: the new seal belongs to this boot.
        const bool is_same_run = !root_.is_running_machine() || boot_id_ == previous_boot_id_;
        if (was_sealed_ && report_.changes() == 0 && is_same_run) return;
        v1::Claim sealed;
        sealed.set_schema("prebake.v1.Claim");
        sealed.set_state(v1::Claim::SEALED);
        if (claim_.has_builder())
            *sealed.mutable_builder() = without_needless_uuid(claim_.builder());
        *sealed.mutable_seal() = seal_;
        sealed.set_prebake_version(options_.prebake_version);
        try_to("record the seal", "seal again",
               [&] { write_claim(root_, options_.state_dir, sealed); });
    }

    const machine::Root& root_;
    const SealOptions& options_;
    const std::stop_token& stop_;
    machine::NamedFiles kept_;
    v1::SealReport report_;
    v1::Claim claim_;  // as it was found
    bool was_sealed_ = false;
    bool is_claim_given_up_ = false;
    std::string boot_id_;
    std::string previous_boot_id_;
    v1::Seal seal_;
};

}  // namespace

v1::SealReport seal(const machine::Root& root, const SealOptions& options,
                    const std::stop_token& stop) {
    validate(options.scope);
    require_machine(root);
    Sealing sealing(root, options, stop);
    return options.mode == SealMode::dry_run ? sealing.dry_run() : sealing.run();
}

}  // namespace prebake::identity
