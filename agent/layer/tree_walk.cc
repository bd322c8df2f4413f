#include "agent/layer/tree_walk.h"

#include <sys/stat.h>

#include <iterator>
#include <optional>
#include <utility>

#include "agent/layer/entry_names.h"
#include "agent/layer/file_attributes.h"
#include "agent/layer/lower_directory.h"
#include "agent/layer/removal.h"

namespace prebake::layer {

/// Counts a difference. Those that come first by their paths are kept.
void TreeWalk::report(const std::string& path, const Differing& differing) {
    const auto [kept, is_new] = kept_.try_emplace(path);
    if (is_new) ++result_.total;
    kept->second.add(differing);
    if (kept_.size() > Comparison::kMaxDifferences) kept_.erase(std::prev(kept_.end()));
}

/// True if what is above is missing, too, or is no directory: that is reported instead.
bool TreeWalk::is_below_missing(const std::string& path) {
    const Mismatch* above = state().mismatch_of(split_path(path).directory);
    return above != nullptr && above->is_other_file;
}

Comparison TreeWalk::run() {
    bool has_other_files = false;
    for (const auto& [path, mismatch] : state().mismatches()) {
        has_other_files = has_other_files || mismatch.is_other_file;
        if (is_below_missing(path)) continue;
        Differing both = mismatch.of_essence;
        both.add(mismatch.of_attributes);
        report(path, both);
    }
    result_.is_cut_short = state().is_lost();
    if (!result_.is_cut_short) {
        // Where something else is, paths lead elsewhere: these times say nothing then.
        if (!has_other_files) {
            for (const auto& [path, expected] : expected_.times) report_time(path, expected);
        }
        if (DiskFile(tree_.root, ".").attributes().is_opaque != expected_.is_root_opaque) {
            report("", expected_.is_root_opaque
                           ? Differing{"an opaque directory", "one that is not"}
                           : Differing{"a directory that is not opaque", "an opaque one"});
        }
        std::string to_visit(1, '\0');  // paths, each ended by NUL; the root
        while (!to_visit.empty()) {
            to_visit.pop_back();
            const std::size_t begin = to_visit.rfind('\0') + 1;
            const std::string path = to_visit.substr(begin);
            to_visit.resize(begin);
            visit_directory(path, to_visit);
        }
        if (!has_other_files) report_late_times();
    }
    for (auto& [path, differing] : kept_) {
        result_.differences.push_back(
            {path, std::move(differing.expected), std::move(differing.found)});
    }
    return std::move(result_);
}

void TreeWalk::visit_directory(const std::string& path, std::string& to_visit) {
    const ExpectedDirectoryPointer directory = state().directory_at(path);
    if (!directory->fd) return;
    for_each_name(directory->fd.get(), path, [&](const std::string& name) {
        if (on_file_) on_file_();
        ++result_.files;
        visit(state().spot(directory, name), to_visit);
        return true;
    });
}

void TreeWalk::visit(const Spot& spot, std::string& to_visit) {
    const std::uint16_t flags = state().flags_of(spot.key);
    if ((flags & ExpectedTree::kExists) == 0) {
        if (spot.disk.kind() == 0) return;  // removed meanwhile
        report(spot.path, {"nothing", text_of(spot.disk.essence())});
        return;
    }
    const Mismatch* mismatch = state().mismatch_of(spot.path);
    if (mismatch != nullptr && mismatch->is_other_file) return;
    if ((flags & (ExpectedTree::kOtherEssence | ExpectedTree::kOtherAttributes)) != 0) {
        report(spot.path, {(flags & ExpectedTree::kOtherEssence) != 0 ? "the contents of the layer"
                                                                      : "the layer's attributes",
                           "others"});
    }
    if (spot.disk.kind() == S_IFDIR) {
        to_visit.append(spot.path).push_back('\0');
        if ((flags & ExpectedTree::kImplied) != 0) check_untouched(spot, flags);
    } else {
        check_links(spot);
    }
}

/// A directory without an entry keeps the time of the lower layer's, unless something was put in
/// it.
void TreeWalk::check_untouched(const Spot& spot, std::uint16_t flags) {
    const bool is_timed = (state().ever(spot) & ExpectedTree::kIsTimed) != 0;
    if ((flags & ExpectedTree::kTouched) != 0 || is_timed || !tree_.are_lowers_sound) return;
    const LowerDirectory source = find_lower_directory(spot.path, tree_.lowers);
    if (!source.fd) return;
    const std::int64_t expected = nanoseconds_of(source.status.st_mtim);
    if (!is_same_time(expected, spot.disk.status().st_mtim)) report_time(spot.path, expected);
}

void TreeWalk::check_links(const Spot& spot) {
    const Differing grouping = expected_.links.check(spot.key, spot.disk);
    if (!grouping.is_empty()) report(spot.path, grouping);
    LinkGroups::File* file = expected_.links.file_of(spot.key);
    if (file == nullptr) return;
    if ((state().ever(spot) & ExpectedTree::kIsTimed) != 0) file->is_timed = true;
    if (file->is_compared) return;
    file->is_compared = true;
    FileAttributes expected = file->attributes;
    const std::optional<std::int64_t> modified_at =
        std::exchange(expected.modified_at, std::nullopt);
    const Differing differing = difference(expected, spot.disk);
    if (!differing.is_empty()) report(spot.path, differing);
    if (modified_at && !is_same_time(*modified_at, spot.disk.status().st_mtim)) {
        late_times_.emplace_back(file, spot.path);
    }
}

/// By another name it may have the time of a directory's entry.
void TreeWalk::report_late_times() {
    for (const auto& [file, path] : late_times_) {
        if (!file->is_timed) report_time(path, *file->attributes.modified_at);
    }
}

void TreeWalk::report_time(const std::string& path, std::int64_t expected) {
    const DiskFile found = state().spot_at(path).disk;
    report(path, {"modified at " + time_text(expected),
                  "modified at " + time_text(nanoseconds_of(found.status().st_mtim))});
}

}  // namespace prebake::layer
