#pragma once

#include <compare>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/bake/name_conflicts.h"
#include "proto/prebake/v1/bake_record.pb.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::guard {

/// An image of the bake record in one namespace.
struct ImageKey {
    std::string image;  ///< its name in the record
    std::string ns;
    auto operator<=>(const ImageKey&) const = default;
};

/// The images that the node keeps usable, found by whatever events name: those of the bake record,
/// and CRI's sandbox image, which counts as baked even if the record does not have it. Knows which
/// of them the budget has unpinned, and which were deleted since. Pure.
class ProtectedImages {
  public:
    /// Forgets what was unpinned of images that are no longer there.
    void set_record(v1::BakeRecord record);
    /// CRI's name for its sandbox image; with the image as it is in containerd, unless the record
    /// has it or it is not there.
    void set_sandbox(std::string name, std::optional<v1::BakedImage> image);

    const v1::BakeRecord& record() const { return record_; }
    const std::string& sandbox() const { return sandbox_; }
    /// The image that CRI's sandbox name belongs to; nothing when it is neither baked nor there.
    std::optional<ImageKey> sandbox_key() const;
    bool is_baked(const std::string& name) const;

    /// What has to be true of containerd: without what was evicted, and with no pins where the
    /// budget took them.
    v1::BakeRecord wanted() const;
    v1::BakeRecord wanted(const std::set<ImageKey>& keys) const;
    /// The names to pin.
    store::NameSet pinned_names() const;

    /// The images that have this name in the namespace.
    std::vector<ImageKey> named(std::string_view ns, std::string_view name) const;
    /// Those with this snapshot (chain ID) or blob.
    std::vector<ImageKey> made_of(std::string_view ns, std::string_view part) const;
    std::vector<std::string> names_of(const ImageKey& key) const;
    std::string target_of(const ImageKey& key) const;
    bool wants_pin(std::string_view ns, const std::string& name) const;

    const std::set<ImageKey>& unpinned() const { return unpinned_; }
    const std::set<ImageKey>& evicted() const { return evicted_; }
    void set_unpinned(const ImageKey& key, bool is_unpinned);
    /// Only what was unpinned can be evicted: it was free to be deleted.
    void set_evicted(const ImageKey& key, bool is_evicted);

    /// What the budget did outlives the daemon. Of images that are not (any longer) protected
    /// nothing is loaded.
    void load(const google::protobuf::RepeatedPtrField<v1::UnpinnedImage>& unpinned);
    void store(google::protobuf::RepeatedPtrField<v1::UnpinnedImage>& unpinned) const;
    /// True once after each change of it.
    bool take_changed() { return std::exchange(has_changed_, false); }

    /// All of them, pinned as the record asks for.
    const v1::BakeRecord& everything() const { return everything_; }

  private:
    using Index = std::multimap<std::pair<std::string_view, std::string_view>, std::size_t>;

    void rebuild();
    std::vector<ImageKey> find(const Index& index, std::string_view ns,
                               std::string_view subject) const;
    v1::BakeRecord selected(const std::set<ImageKey>* keys) const;

    v1::BakeRecord record_;
    std::string sandbox_;
    std::optional<v1::BakedImage> sandbox_image_;
    std::set<ImageKey> unpinned_;
    std::set<ImageKey> evicted_;
    bool has_changed_ = false;  ///< of these two

    v1::BakeRecord everything_;
    std::vector<ImageKey> keys_;
    // Views of the strings in `everything_`.
    Index names_;
    Index parts_;
};

}  // namespace prebake::guard
