#include "agent/identity/residue.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/wait.h"
#include "agent/identity/builder_values.h"
#include "agent/identity/claim.h"
#include "agent/identity/live_passwords.h"
#include "agent/identity/residue_text.h"
#include "agent/identity/survey.h"
#include "agent/machine/instance.h"

namespace prebake::identity {
namespace {

/// Limit of one list in a report. Another line has the number of omitted entries.
constexpr std::size_t kMaxListed = 10'000;

/// The name of the builder's values among the items of a report.
constexpr std::string_view kBuilderValues = "builder-values";

using ResidueList = std::vector<v1::Residue>;

v1::Residue residue(std::string_view item, std::string_view path, std::string_view kind,
                    std::uint64_t line = 0) {
    v1::Residue found;
    found.set_item(std::string(item));
    found.set_path(printable(path));
    found.set_kind(printable(kind));
    found.set_line(line);
    return found;
}

std::string_view to_do(Change::Kind kind) {
    switch (kind) {
        case Change::Kind::remove:
            return "to remove";
        case Change::Kind::truncate:
            return "to truncate";
        case Change::Kind::write:
            return "to write";
    }
    return "to change";
}

class Checking {
  public:
    Checking(const machine::Root& root, const CheckOptions& options, const std::stop_token& stop)
        : root_(root), options_(options), stop_(stop) {}

    v1::ResidueReport run() {
        const auto began = std::chrono::steady_clock::now();
        check_claim();
        find_kept();
        check_machines_own_files();
        check_items();
        check_files();
        report_.set_schema("prebake.v1.ResidueReport");
        report_.set_root(printable(root_.outside("/").string()));
        list(residue_, report_.mutable_residue());
        list(noted_, report_.mutable_noted());
        report_.set_seconds(
            std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
        return std::move(report_);
    }

  private:
    void check_machines_own_files() {
        for (const std::string_view name : kMachinesOwnFiles) {
            const std::string path = options_.state_dir + "/" + std::string(name);
            if (root_.info(path)) residue_.push_back(residue("ledger", path, "to remove"));
        }
    }

    /// Does not use read_claim(), which renames a corrupt file: a check changes nothing.
    void check_claim() {
        const std::string path = options_.state_dir + "/claim.json";
        try {
            const v1::Claim claim = find_claim(root_, options_.state_dir).value_or(v1::Claim());
            seal_ = claim.seal();
            const bool is_running = root_.is_running_machine();
            const std::string why =
                is_running ? why_not_sealed(claim, Machine::running,
                                            machine::read_host_facts(root_).kernel_boot_id)
                           : why_not_sealed(claim, Machine::image, {});
            if (!why.empty()) residue_.push_back(residue("claim", path, why));
        } catch (const Error& error) {
            residue_.push_back(residue("claim", path, "not checked: " + error.message()));
        }
    }

    void find_kept() {
        try {
            kept_ = kept_files(root_, options_.scope, options_.state_dir);
        } catch (const Error& error) {
            residue_.push_back(residue(kKeptPaths, "", "not checked: " + error.message()));
        }
        note_not_followed(kKeptPaths, kept_.problems);
    }

    void note_not_followed(std::string_view item, const std::vector<Error>& links) {
        for (const Error& link : links) {
            if (known_links_.insert(link.message()).second)  // many items may meet one link
                noted_.push_back(residue(item, "", link.message()));
        }
    }

    void check_items() {
        const SealScope& scope = options_.scope;
        for (const Item& item : items()) {
            throw_if_stopped(stop_);
            take(item.name, treatment_of(item, scope), [&](const machine::Root& root) {
                return survey(root, item, scope.settings, kept_);
            });
        }
        if (!scope.remove.empty()) {
            take(
                kConfiguredPaths, scope.only.empty() ? Treatment::seal : Treatment::skip,
                [&](const machine::Root& root) { return survey_paths(root, scope.remove, kept_); });
        }
        for (const auto& [item, paths] : behind_links_) add_behind_links(item, paths);
    }

    /// What is skipped or only reported is there on purpose: it is listed, but does not count.
    void take(std::string_view item, Treatment treatment,
              const std::function<Pending(const machine::Root&)>& look) {
        const Pending pending = look(root_);
        note_not_followed(item, pending.not_followed);
        if (treatment == Treatment::seal && !pending.not_followed.empty())
            look_behind_links(item, pending, look(root_.trusting_all_links()));
        ResidueList found;
        for (const Change& change : pending.changes) {
            std::string kind(to_do(change.kind));
            if (!change.note.empty()) kind += " (" + change.note + ")";
            found.push_back(residue(item, change.path, kind));
            const bool goes = treatment == Treatment::seal && change.kind != Change::Kind::write;
            if (goes) going_.insert(change.path);
        }
        for (const Error& problem : pending.problems)
            found.push_back(residue(item, "", "not checked: " + problem.message()));
        add_sorted(std::move(found), treatment == Treatment::seal ? residue_ : noted_);
    }

    /// A link that the seal did not follow hides nothing: what the item would remove behind it is
    /// residue.
    void look_behind_links(std::string_view item, const Pending& pending, const Pending& all) {
        std::set<std::string> known;
        for (const Change& change : pending.changes) known.insert(change.path);
        for (const Error& problem : pending.problems) known.insert(problem.message());
        for (const Change& change : all.changes) {
            if (known.count(change.path) == 0) behind_links_[item].push_back(change.path);
        }
        for (const Error& problem : all.problems) {
            if (known.count(problem.message()) == 0)
                residue_.push_back(residue(item, "", "not checked: " + problem.message()));
        }
    }

    /// One entry for an item, because a link may lead to anything.
    void add_behind_links(std::string_view item, const std::vector<std::string>& paths) {
        std::vector<std::string> left;
        for (const std::string& path : paths) {
            if (!is_going(path)) left.push_back(path);
        }
        if (left.empty()) return;
        std::string kind = "to remove, behind a link that is not followed";
        if (left.size() > 1) kind += ", with " + std::to_string(left.size() - 1) + " more";
        residue_.push_back(residue(item, left.front(), kind));
    }

    /// Reads every file once, for secrets and for the builder's values.
    void check_files() {
        ValueFinder finder(known_values(), seal_, options_.scope);
        LivePasswords passwords = known_users();
        const secrets::SecretScan scan = secrets::scan_for_secrets(
            root_, kept_, options_.search, options_.limits, stop_,
            [&](std::string_view path, std::string_view text, std::size_t from, std::size_t to,
                std::vector<secrets::LocatedSecret>& located) {
                finder.locate(path, text, from, to, located);
                passwords.locate(path, text, from, to, located);
            });
        report_.set_files_scanned(scan.files);
        report_.set_bytes_scanned(scan.bytes);
        ResidueList found;
        ResidueList values;
        for (const secrets::FoundSecret& secret : scan.secrets) {
            if (is_going(secret.path)) continue;  // one finding is enough
            if (secret.evidence == secrets::Evidence::value)
                values.push_back(residue(kBuilderValues, secret.path, secret.kind, secret.line));
            else
                found.push_back(residue("secrets", secret.path, secret.kind, secret.line));
        }
        for (const secrets::NotScanned& file : scan.not_scanned)
            found.push_back(residue("secrets", file.path, "not scanned: " + file.reason));
        ResidueList left_out;
        for (const secrets::NotScanned& file : scan.left_out)
            left_out.push_back(residue("secrets", file.path, "not searched: " + file.reason));
        add_sorted(std::move(values), residue_);
        add_sorted(std::move(found), residue_);
        add_sorted(std::move(left_out), noted_);
    }

    /// True if the path, or a directory above it, is residue of an item.
    bool is_going(std::string path) const {
        while (!path.empty()) {
            if (going_.count(path) != 0) return true;
            path.resize(path.rfind('/'));
        }
        return false;
    }

    LivePasswords known_users() {
        try {
            return LivePasswords(root_);
        } catch (const Error& error) {
            residue_.push_back(
                residue("secrets", "/etc/passwd", "not checked: " + error.message()));
            return LivePasswords(std::string_view());
        }
    }

    BuilderValues known_values() {
        try {
            return builder_values(root_);
        } catch (const Error& error) {
            residue_.push_back(residue(kBuilderValues, "", "not checked: " + error.message()));
            return {};
        }
    }

    static void add_sorted(ResidueList found, ResidueList& to) {
        std::sort(found.begin(), found.end(), [](const v1::Residue& a, const v1::Residue& b) {
            return std::tuple(std::string_view(a.path()), a.line(), std::string_view(a.kind())) <
                   std::tuple(std::string_view(b.path()), b.line(), std::string_view(b.kind()));
        });
        to.insert(to.end(), std::make_move_iterator(found.begin()),
                  std::make_move_iterator(found.end()));
    }

    template <typename Listed>
    static void list(ResidueList& found, Listed* listed) {
        const std::size_t count = std::min(found.size(), kMaxListed);
        for (std::size_t i = 0; i < count; ++i) *listed->Add() = std::move(found[i]);
        if (found.size() == count) return;
        *listed->Add() =
            residue("...", "", std::to_string(found.size() - count) + " more are not listed");
    }

    const machine::Root& root_;
    const CheckOptions& options_;
    const std::stop_token& stop_;
    machine::NamedFiles kept_;
    std::set<std::string> going_;  // what items must remove or empty
    v1::Seal seal_;
    std::set<std::string> known_links_;                                  // that are noted
    std::map<std::string_view, std::vector<std::string>> behind_links_;  // by item
    ResidueList residue_;
    ResidueList noted_;
    v1::ResidueReport report_;
};

}  // namespace

v1::ResidueReport check(const machine::Root& root, const CheckOptions& options,
                        const std::stop_token& stop) {
    validate(options.scope);
    secrets::validate(options.search);
    require_machine(root);
    return Checking(root, options, stop).run();
}

}  // namespace prebake::identity
