#include "agent/identity/survey.h"

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <utility>

#include "agent/identity/protected_places.h"
#include "agent/machine/attached_places.h"

namespace prebake::identity {
namespace {

/// Limit of changes for one item. More do not fit into a report; a whole directory should be
/// removed instead.
constexpr std::size_t kMaxChanges = 1'000'000;

class Surveyor {
  public:
    Surveyor(const machine::Root& root, const machine::NamedFiles& kept)
        : root_(root), kept_(kept.paths), attached_(root) {
        kept_.insert(kept.targets.begin(), kept.targets.end());
    }

    /// Another item judges this file.
    void leave(std::string_view path) {
        attempt([&] { kept_.insert(followed(std::string(path))); });
    }

    void look_for(std::span<const Target> targets) {
        std::vector<std::pair<Target::What, std::string>> found;
        for (const Target& target : targets) {
            attempt([&] {
                std::vector<Error> problems;
                for (const std::string& path : root_.match(target.pattern, problems))
                    attempt(
                        [&] { found.emplace_back(target.what, root_.resolved_for_change(path)); });
                for (const Error& problem : problems) report(problem);
            });
        }
        for (const auto& match : found) {
            const bool is_place =
                match.first == Target::What::contents || match.first == Target::What::all_bytes;
            if (is_place) attempt([&] { cleaned_.insert(followed(match.second)); });
        }
        for (const auto& match : found) {
            attempt([&] { look_at(match.first, match.second); });
        }
    }

    void add_changes_of(const Item& item, const ItemSettings& settings) {
        Changes changes;
        try {
            changes = item.extra_changes(root_, settings);
        } catch (const Error& error) {
            // It is not known which changes are missing, so this is a problem even if a link is the
            // cause.
            return report_to(pending_.problems, error);
        }
        for (Change& change : changes) attempt([&] { add_change(std::move(change)); });
    }

    void add_change(Change change) {
        change.path = root_.resolved_for_change(change.path);
        switch (change.kind) {
            case Change::Kind::remove:
                return remove(change);
            case Change::Kind::truncate:
                return empty(change.path);
            case Change::Kind::write:
                return put(std::move(change));
        }
    }

    template <typename Work>
    void attempt(const Work& work) {
        try {
            work();
        } catch (const Error& error) {
            report(error);
        }
    }

    Pending finish() {
        for (auto& [path, change] : changes_) {
            if (change.kind == Change::Kind::write || !is_below_a_removed_one(path))
                pending_.changes.push_back(std::move(change));
        }
        // Writes come last: their directory may be among the removals.
        std::stable_partition(
            pending_.changes.begin(), pending_.changes.end(),
            [](const Change& change) { return change.kind != Change::Kind::write; });
        return std::move(pending_);
    }

  private:
    void look_at(Target::What what, const std::string& path) {
        switch (what) {
            case Target::What::file:
                return remove({Change::Kind::remove, path, {}});
            case Target::What::contents: {
                const std::string directory = followed(path);
                for (const std::string& name : root_.names_in(directory))
                    attempt([&] { remove({Change::Kind::remove, directory + "/" + name, {}}); });
                return;
            }
            case Target::What::bytes:
                return empty(followed(path));
            case Target::What::all_bytes:
                return empty_all_below(followed(path));
        }
    }

    /// A trusted link stands for its target (/var/mail).
    /// @throws Error untrusted for any other link: it must not choose what is removed.
    std::string followed(const std::string& path) const {
        return root_.resolved_for_change(path, machine::LastLink::follow);
    }

    void remove(const Change& change) {
        const std::string& path = change.path;
        if (is_kept(path)) return;
        const std::optional<machine::FileInfo> info = root_.info(path);
        if (!info) return;
        if (info->is_mount) {
            // Unless it is cleaned as a place of its own.
            if (cleaned_.count(path) == 0) report_mount(path);
            return;
        }
        if (!holds_kept(path)) return put(change);
        Change inner = change;
        for (const std::string& name : root_.names_in(path)) {
            inner.path = path + "/" + name;
            attempt([&] { remove(inner); });
        }
    }

    void empty(const std::string& path) {
        if (is_kept(path)) return;
        const std::optional<machine::FileInfo> info = root_.info(path);
        if (info && info->type == machine::FileType::regular && info->size > 0)
            put({Change::Kind::truncate, path, {}});
    }

    void empty_all_below(const std::string& top) {
        std::vector<std::string> directories{top};
        while (!directories.empty()) {
            const std::string directory = std::move(directories.back());
            directories.pop_back();
            if (is_kept(directory)) continue;
            for (const std::string& name : root_.names_in(directory)) {
                const std::string path = directory + "/" + name;
                attempt([&] {
                    const std::optional<machine::FileInfo> info = root_.info(path);
                    if (!info || info->type != machine::FileType::directory) return empty(path);
                    if (!info->is_mount) return directories.push_back(path);
                    if (cleaned_.count(path) == 0) report_mount(path);
                });
            }
        }
    }

    void report(const Error& error) {
        report_to(error.code() == Errc::untrusted ? pending_.not_followed : pending_.problems,
                  error);
    }

    /// Once: many files may have the same problem, such as a link or a mount above them.
    void report_to(std::vector<Error>& problems, const Error& error) {
        if (reported_.insert(error.what()).second) problems.push_back(error);
    }

    void report_mount(const std::string& path) {
        // An image's /run and the like are empty when it boots.
        if (attached_.place_of(path + "/x").belonging == machine::Belonging::nobody) return;
        report(Error(Errc::failed_precondition,
                     "cannot seal " + root_.outside(path).string() + ": something is mounted there",
                     "unmount it, then seal again"));
    }

    void put(Change change) {
        if (is_kept(change.path)) return;
        const machine::AttachedPlaces::Place& place = attached_.place_of(change.path);
        if (place.belonging == machine::Belonging::nobody) return;
        if (const std::optional<Error> reason = machine::why_not_to_change(root_, place))
            return report(*reason);
        if (images_.empty()) images_ = image_places(root_);  // few items find anything
        if (change.in_image_store == InImageStore::refused && touches(change.path, images_)) {
            return report(Error(Errc::failed_precondition,
                                "will not change " + root_.outside(change.path).string() +
                                    ": baked images are stored there",
                                "find the link that leads there, and remove it"));
        }
        if (changes_.size() == kMaxChanges) {
            throw Error(Errc::too_large,
                        "more than " + std::to_string(kMaxChanges) + " files are to be changed",
                        "remove their directory as a whole ([seal] remove)");
        }
        const auto [there, is_new] = changes_.try_emplace(change.path, change);
        if (!is_new && strength(change.kind) > strength(there->second.kind))
            there->second = std::move(change);
    }

    /// If a file has two changes, the one with more effect wins.
    static int strength(Change::Kind kind) {
        switch (kind) {
            case Change::Kind::truncate:
                return 0;
            case Change::Kind::remove:
                return 1;
            case Change::Kind::write:
                return 2;
        }
        return 0;
    }

    /// Calls `test` with every directory above `path`.
    template <typename Test>
    static bool any_above(std::string path, const Test& test) {
        for (std::size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0;
             slash = path.rfind('/')) {
            path.resize(slash);
            if (test(path)) return true;
        }
        return false;
    }

    bool is_below_a_removed_one(const std::string& path) const {
        return any_above(path, [&](const std::string& above) {
            const auto change = changes_.find(above);
            return change != changes_.end() && change->second.kind == Change::Kind::remove;
        });
    }

    bool is_kept(const std::string& path) const {
        const auto is_named = [&](const std::string& name) { return kept_.count(name) != 0; };
        return is_named(path) || any_above(path, is_named);
    }

    bool holds_kept(const std::string& path) const {
        const auto next = kept_.lower_bound(path + "/");
        return next != kept_.end() && next->starts_with(path + "/");
    }

    const machine::Root& root_;
    std::set<std::string> kept_;
    std::vector<std::string> images_;
    std::set<std::string> cleaned_;  // directories that a target names: they may be mount points
    std::map<std::string, Change> changes_;
    machine::AttachedPlaces attached_;
    std::set<std::string> reported_;
    Pending pending_;
};

}  // namespace

Pending survey(const machine::Root& root, const Item& item, const ItemSettings& settings,
               const machine::NamedFiles& kept) {
    Surveyor surveyor(root, kept);
    if (!item.of_another_item.empty()) surveyor.leave(item.of_another_item);
    surveyor.look_for(item.targets);
    if (item.extra_changes != nullptr) surveyor.add_changes_of(item, settings);
    return surveyor.finish();
}

Pending survey_paths(const machine::Root& root, const std::vector<std::string>& patterns,
                     const machine::NamedFiles& kept) {
    std::vector<Target> targets;
    targets.reserve(patterns.size());
    for (const std::string& pattern : patterns) targets.push_back({Target::What::file, pattern});
    Surveyor surveyor(root, kept);
    surveyor.look_for(targets);
    return surveyor.finish();
}

void apply(const machine::Root& root, const Change& change) {
    switch (change.kind) {
        case Change::Kind::remove:
            return root.remove(change.path);
        case Change::Kind::truncate:
            return root.truncate(change.path);
        case Change::Kind::write:
            return root.write(change.path, change.contents, {});
    }
}

}  // namespace prebake::identity
