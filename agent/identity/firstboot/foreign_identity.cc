#include "agent/identity/firstboot/foreign_identity.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "agent/base/problem.h"
#include "agent/identity/fingerprints.h"
#include "agent/identity/item.h"
#include "agent/identity/survey.h"
#include "agent/machine/text_format.h"

namespace prebake::identity::firstboot {
namespace {

/// With more paths the journal names only the item, to stay readable.
constexpr std::size_t kMaxPathsNamed = 32;

std::vector<Item> items_to_renew(const SealScope& scope) {
    std::vector<Item> renewed;
    std::copy_if(
        items().begin(), items().end(), std::back_inserter(renewed), [&](const Item& item) {
            return item.on_clone == OnClone::renew && treatment_of(item, scope) == Treatment::seal;
        });
    return renewed;
}

/// cloud-init detects another instance itself. If it has run in this boot, its state belongs to
/// this machine; without it, cloud-init would create another identity at the next boot.
bool is_renewed_already(const StepContext& context, const Item& item) {
    return item.name == "cloud-init" && context.stage == Stage::online &&
           context.root.info("/run/cloud-init/.instance-id");
}

/// From earlier machines, if this is a clone of a clone.
constexpr int kMaxFingerprints = 512;

class Remover {
  public:
    explicit Remover(const StepContext& context) : context_(context) {
        for (const v1::Step& step : context.claim.steps()) {
            if (step.name() == kRemoveForeign) is_first_ = false;
            if (step.outcome() == v1::Step::FAILED && step.name().starts_with(kForeignLeftPrefix)) {
                left_before_.insert(
                    step.name().substr(std::string_view(kForeignLeftPrefix).size()));
            }
        }
    }

    void remove(const std::string& item, const Pending& pending) {
        const int before = removed_;
        not_followed_ += pending.not_followed.size();
        for (const Error& problem : pending.problems) {
            if (problem.code() == Errc::cancelled) throw Error(problem);
            left_.emplace(item, problem);
        }
        for (const Change& change : pending.changes) {
            if (!is_first_ && left_before_.count(change.path) == 0 &&
                left_before_.count(item) == 0) {
                continue;
            }
            try {
                apply(context_.root, change);
                ++removed_;
            } catch (const Error& error) {
                if (error.code() == Errc::cancelled) throw;
                left_.emplace(can_be_named(change.path) ? change.path : item, error);
            }
        }
        if (removed_ > before) context_.crash(std::string(kRemoveForeign) + ":" + item);
    }

    Removal result() const {
        Removal removal{.message = std::to_string(removed_) + " files or directories removed",
                        .left = {},
                        .removed = removed_};
        if (not_followed_ > 0) {
            removal.message +=
                ", " + std::to_string(not_followed_) + " links of users not followed";
        }
        for (const auto& [what, error] : left_) {
            v1::Step step;
            step.set_name(kForeignLeftPrefix + what);
            step.set_outcome(v1::Step::FAILED);
            *step.mutable_at() = google::protobuf::util::TimeUtil::GetCurrentTime();
            *step.mutable_problem() = problem_of(error);
            removal.left.push_back(std::move(step));
        }
        return removal;
    }

  private:
    /// The next boot must find it by its name in the journal.
    bool can_be_named(const std::string& path) const {
        const std::string name = kForeignLeftPrefix + path;
        return left_.size() < kMaxPathsNamed && machine::plain_text(name) == name;
    }

    const StepContext& context_;
    bool is_first_ = true;
    std::set<std::string> left_before_;
    std::map<std::string, Error> left_;  // by path or item
    int removed_ = 0;
    std::size_t not_followed_ = 0;
};

}  // namespace

void note_foreign_identity(const machine::Root& root, const SealScope& scope, v1::Claim& claim) {
    v1::Seal& seal = *claim.mutable_seal();
    // In a line of many clones, the latest are kept.
    if (const int many = seal.fingerprints_size() - kMaxFingerprints; many > 0) {
        seal.mutable_fingerprints()->DeleteSubrange(0, many);
    }
    if (seal.salt().empty()) seal.set_salt(make_salt());
    std::set<std::pair<std::string, std::string>> known;
    for (const v1::Fingerprint& there : seal.fingerprints())
        known.emplace(there.path(), there.hash());
    for (const v1::Fingerprint& found :
         take_fingerprints(root, items_to_renew(scope), seal.salt())) {
        if (known.emplace(found.path(), found.hash()).second) *seal.add_fingerprints() = found;
    }
}

Removal remove_foreign_identity(const StepContext& context) {
    Remover remover(context);
    const SealScope& scope = context.options.scope;
    machine::NamedFiles kept;
    try {
        kept = kept_files(context.root, scope, context.options.state_dir);
    } catch (const Error& error) {
        remover.remove(std::string(kKeptPaths),
                       Pending{.changes = {}, .problems = {error}, .not_followed = {}});
        return remover.result();
    }
    for (const Item& item : items_to_renew(scope)) {
        if (is_renewed_already(context, item)) continue;
        remover.remove(std::string(item.name), survey(context.root, item, scope.settings, kept));
    }
    Pending certificate;
    const HostCertificateOptions& options = context.options.certificate;
    for (const std::string& path : {options.key_file, options.certificate_file}) {
        try {
            if (!path.empty() && context.root.info(path)) {
                certificate.changes.push_back({Change::Kind::remove, path, {}});
            }
        } catch (const Error& error) {
            certificate.problems.push_back(error);
        }
    }
    remover.remove("host-certificate", certificate);
    return remover.result();
}

}  // namespace prebake::identity::firstboot
