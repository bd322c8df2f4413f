#include "agent/identity/firstboot/first_boot.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/wait.h"
#include "agent/identity/attempted_step.h"
#include "agent/identity/claim.h"
#include "agent/identity/firstboot/first_boot_steps.h"
#include "agent/identity/firstboot/foreign_identity.h"
#include "agent/machine/cloud_init.h"
#include "agent/machine/drop_ins.h"
#include "agent/machine/instance.h"
#include "agent/machine/text_format.h"

namespace prebake::identity::firstboot {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kDropInPrefix = "firstboot.d/";
constexpr const char* kProof = "identity-changed";

google::protobuf::Timestamp now() {
    return google::protobuf::util::TimeUtil::GetCurrentTime();
}

class FirstBoot {
  public:
    FirstBoot(const machine::Root& root, Stage stage, const FirstBootOptions& options,
              machine::MetadataClient* metadata, const CrashPoint& crash,
              const std::stop_token& stop)
        : root_(root),
          stage_(stage),
          options_(options),
          metadata_client_(metadata),
          crash_(crash ? crash : [](std::string_view) {}),
          stop_(stop),
          context_{root_, stage_, options_, claim_, metadata_, crash_, stop_} {}

    v1::FirstBootReport run() {
        const Clock::time_point began = Clock::now();
        const std::string lock_path = options_.state_dir + "/firstboot.lock";
        const FileLock lock(root_.open_lock(lock_path), root_.outside(lock_path));
        std::string warning;
        claim_ = read_claim(root_, options_.state_dir, warning);
        warn(warning);
        current_ = machine::identify(machine::read_host_facts(root_));
        report_.set_decision(std::string(to_string(decide_and_act())));
        report_.set_schema("prebake.v1.FirstBootReport");
        *report_.mutable_claim() = claim_;
        report_.set_seconds(std::chrono::duration<double>(Clock::now() - began).count());
        return report_;
    }

  private:
    Decision decide_and_act() {
        Decision decision = decide(claim_, current_, Knowledge::preliminary);
        if (decision == Decision::deferred && is_claimed_by_nobody_known()) {
            note_who_this_is();
            return Decision::already_claimed;
        }
        if (decision == Decision::already_claimed) return decision;
        if (stage_ == Stage::online) {
            ask_who_this_is();
            decision = decide(claim_, current_, Knowledge::final);
            if (decision == Decision::already_claimed) return decision;
        }
        if (decision == Decision::deferred) return decision;
        begin(decision);
        remove_what_is_foreign();
        for (const NamedStep& step : local_steps()) perform(step);
        if (stage_ == Stage::online) finish();
        return decision;
    }

    /// The claim of an unknown instance, which cannot be compared.
    bool is_claimed_by_nobody_known() const {
        return claim_.state() == v1::Claim::CLAIMED && !machine::is_known(claim_.instance());
    }

    /// From now on a clone of this machine can be detected.
    void note_who_this_is() {
        if (!machine::is_known(current_)) return;
        *claim_.mutable_instance() = current_;
        claim_.set_instance_unknown(false);
        save();
    }

    void ask_who_this_is() {
        const bool is_of_cloud_init =
            claim_.state() == v1::Claim::CLAIMED && claim_.instance().source() == "cloud-init";
        if (!is_of_cloud_init || !ask_cloud_init()) {
            ask_metadata_service();
            if (!machine::is_known(current_) && !ask_cloud_init()) {
                warn(
                    "neither the firmware nor a metadata service nor cloud-init tells which "
                    "instance this is: a clone of this machine will not be known for one");
            }
        }
        metadata_.instance = current_;
    }

    bool ask_cloud_init() {
        if (!machine::cloud_init_is_active(root_)) return false;
        v1::Instance instance;
        instance.set_id(machine::cloud_init_instance_id(root_));
        if (instance.id().empty()) return false;
        instance.set_source("cloud-init");
        current_ = machine::merged(current_, instance);
        return true;
    }

    void ask_metadata_service() {
        if (metadata_client_ == nullptr) return;
        try {
            metadata_ =
                machine::fetch_metadata(current_, *metadata_client_, options_.metadata, stop_);
            current_ = machine::merged(current_, metadata_.instance);
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled) throw;
            warn("no instance metadata: " + std::string(error.what()));
        }
    }

    void begin(Decision decision) {
        remove_abandoned_files();
        crash_("begin");
        const v1::Claim before = claim_;
        const v1::Instance cloned_from =
            machine::is_known(claim_.instance()) ? claim_.instance() : claim_.builder();
        if (decision == Decision::resume) {
            *claim_.mutable_instance() = machine::merged(claim_.instance(), current_);
        } else {
            *claim_.mutable_instance() = current_;
            *claim_.mutable_began_at() = now();
            claim_.clear_steps();
            claim_.clear_claimed_at();
            claim_.clear_cloned_from();
            claim_.set_unsealed_in_place(false);
        }
        if (decision == Decision::clone_of_unsealed) {
            *claim_.mutable_cloned_from() = cloned_from;
            note_foreign_identity(root_, options_.scope, claim_);
        }
        // Also if only the network showed that this is the sealed machine.
        if (claim_.has_seal() && !claim_.has_cloned_from() &&
            machine::compare(claim_.seal().by(), claim_.instance()) == machine::Sameness::same) {
            claim_.set_unsealed_in_place(true);
        }
        claim_.set_state(v1::Claim::CLAIMING);
        claim_.set_instance_unknown(!machine::is_known(claim_.instance()));
        claim_.set_prebake_version(options_.prebake_version);
        metadata_.instance = claim_.instance();
        if (claim_.SerializeAsString() != before.SerializeAsString()) save();
        crash_("begun");
        if (decision == Decision::clone_of_unsealed && stage_ == Stage::online) {
            warn(
                "this is a clone of an unsealed machine, and it is known only now: services that "
                "run already keep the old identity until they are started again; reboot");
        }
    }

    /// Temporary files of a run that was killed during a write. Some are private keys.
    void remove_abandoned_files() {
        std::vector<std::string> names{"/etc/ssh/.ssh_host_*_key*",
                                       options_.state_dir + "/.claim.json*"};
        const std::string& key = options_.certificate.key_file;
        if (const std::size_t slash = key.rfind('/'); slash != std::string::npos) {
            names.push_back(key.substr(0, slash + 1) + "." + key.substr(slash + 1));
        }
        for (const std::string& name : names) {
            try {
                for (const std::string& path : root_.match(name + ".prebake-*")) root_.remove(path);
            } catch (const Error& error) {
                warn(error.message());  // a step that needs the directory will report more
            }
        }
    }

    void remove_what_is_foreign() {
        if (!claim_.has_cloned_from()) return;
        const bool is_first = !is_settled(kRemoveForeign);
        if (!is_first && std::none_of(claim_.steps().begin(), claim_.steps().end(), is_left_over)) {
            return;
        }
        Removal removal;
        v1::Step step =
            attempt_step(kRemoveForeign, "", [&] { removal = remove_foreign_identity(context_); });
        crash_(std::string(kRemoveForeign) + ":done");
        if (!has_failed(step)) {
            step.set_message(removal.message);
            // What was removed only now may have prevented a step from creating its own.
            forget_steps([&](const v1::Step& other) {
                return is_left_over(other) || (removal.removed > 0 && is_local(other.name()));
            });
        }
        if (is_first) put(std::move(step));
        for (const v1::Step& left : removal.left) put(left);
        save();
        crash_(std::string(kRemoveForeign) + ":journalled");
    }

    void finish() {
        // Steps that fail again are added again; steps that are no longer configured are not. The
        // proof runs at the end each time: what was restored after the last proof must not pass.
        forget_steps([](const v1::Step& step) {
            const bool may_be_gone =
                has_failed(step) && !is_left_over(step) && !is_local(step.name());
            return may_be_gone || step.name() == kProof;
        });
        for (const NamedStep& step : online_steps(options_)) perform(step);
        run_drop_ins();
        perform({kProof, prove_identity_changed});
        if (std::any_of(claim_.steps().begin(), claim_.steps().end(), has_failed)) return;
        claim_.set_state(v1::Claim::CLAIMED);
        *claim_.mutable_claimed_at() = now();
        crash_("claimed");
        save();
        crash_("claimed:journalled");
    }

    void run_drop_ins() {
        machine::DropIns found;
        v1::Step search = attempt_step(std::string(kDropInPrefix), "", [&] {
            found = machine::drop_ins_in(root_, options_.drop_in_dir);
        });
        if (has_failed(search)) put(std::move(search));
        for (const machine::RefusedDropIn& refused : found.refused) {
            warn(options_.drop_in_dir + "/" + refused.name +
                 " is not run: " + refused.reason.message());
        }
        machine::DropInRun run{.environment = drop_in_environment(context_),
                               .time_limit = options_.drop_in_limit};
        for (const std::string& name : found.names) {
            perform(std::string(kDropInPrefix) + name, [&] {
                machine::run_drop_in(root_, options_.drop_in_dir, name, run, stop_);
                return done("");
            });
        }
    }

    void perform(const NamedStep& step) {
        perform(step.name, [&] { return step.work(context_); });
    }

    template <typename Work>
    void perform(const std::string& name, const Work& work) {
        if (is_settled(name)) return;
        throw_if_stopped(stop_);
        StepResult result;
        v1::Step step = attempt_step(name, "", [&] { result = work(); });
        if (!has_failed(step)) {
            step.set_outcome(result.outcome);
            step.set_message(result.message);
            warn(result.warning);
        }
        put(std::move(step));
        crash_(name + ":done");
        save();
        crash_(name + ":journalled");
    }

    void put(v1::Step step) {
        step.set_name(machine::plain_text(step.name()));
        step.set_message(machine::plain_text(step.message()));
        if (step.has_problem()) {
            step.mutable_problem()->set_message(machine::plain_text(step.problem().message()));
            step.mutable_problem()->set_next_step(machine::plain_text(step.problem().next_step()));
        }
        forget_steps([&](const v1::Step& other) { return other.name() == step.name(); });
        *claim_.add_steps() = std::move(step);
    }

    template <typename Test>
    void forget_steps(const Test& test) {
        auto& steps = *claim_.mutable_steps();
        steps.erase(std::remove_if(steps.begin(), steps.end(), test), steps.end());
    }

    bool is_settled(std::string_view name) const {
        return std::any_of(claim_.steps().begin(), claim_.steps().end(), [&](const v1::Step& step) {
            return step.name() == name && !has_failed(step);
        });
    }

    static bool has_failed(const v1::Step& step) { return step.outcome() == v1::Step::FAILED; }
    static bool is_left_over(const v1::Step& step) {
        return has_failed(step) && step.name().starts_with(kForeignLeftPrefix);
    }
    static bool is_local(const std::string& name) {
        return std::any_of(local_steps().begin(), local_steps().end(),
                           [&](const NamedStep& step) { return step.name == name; });
    }

    void warn(const std::string& text) {
        if (!text.empty()) report_.add_warnings(machine::plain_text(text));
    }

    void save() { write_claim(root_, options_.state_dir, claim_); }

    const machine::Root& root_;
    Stage stage_;
    const FirstBootOptions& options_;
    machine::MetadataClient* metadata_client_;
    CrashPoint crash_;
    const std::stop_token& stop_;
    v1::Claim claim_;
    v1::Instance current_;
    machine::Metadata metadata_;
    v1::FirstBootReport report_;
    StepContext context_;  // of all above
};

}  // namespace

v1::FirstBootReport first_boot(const machine::Root& root, Stage stage,
                               const FirstBootOptions& options, machine::MetadataClient* metadata,
                               const CrashPoint& crash_point, const std::stop_token& stop) {
    return FirstBoot(root, stage, options, metadata, crash_point, stop).run();
}

}  // namespace prebake::identity::firstboot
