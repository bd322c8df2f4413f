#include "agent/store/record.h"

#include <algorithm>
#include <string>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/json.h"
#include "agent/base/set_aside.h"
#include "agent/oci/manifest.h"
#include "agent/store/names.h"

namespace prebake::store {
namespace {

constexpr const char* kSchema = "prebake.v1.BakeRecord";
constexpr const char* kUnusableRecord = "bake again, which replaces it, or restore it";

/// -1 if there is no such image.
int index_of(const v1::BakeRecord& record, const std::string& name, const std::string& platform) {
    for (int i = 0; i < record.images_size(); ++i) {
        const v1::BakedImage& image = record.images(i);
        if (image.name() == name && image.platform() == platform) return i;
    }
    return -1;
}

void unite(v1::Placement& placement, const v1::Placement& before) {
    for (const std::string& name : before.names()) {
        const auto& names = placement.names();
        if (std::find(names.begin(), names.end(), name) == names.end()) placement.add_names(name);
    }
    placement.set_layers_kept(placement.layers_kept() || before.layers_kept());
    if (before.unpacked() && !placement.unpacked()) {
        placement.set_unpacked(true);
        placement.set_snapshotter(before.snapshotter());
    }
}

void unite_signatures(v1::BakedImage& image, const v1::BakedImage& before) {
    for (const v1::Signature& signature : before.signatures()) {
        const auto& signatures = image.signatures();
        const bool is_known =
            std::any_of(signatures.begin(), signatures.end(), [&](const v1::Signature& other) {
                return other.key() == signature.key() &&
                       other.blob().digest() == signature.blob().digest();
            });
        if (!is_known) *image.add_signatures() = signature;
    }
}

void unite(v1::BakedImage& image, const v1::BakedImage& before) {
    for (const v1::Placement& placement : before.placements()) {
        auto& placements = *image.mutable_placements();
        const auto same = std::find_if(
            placements.begin(), placements.end(),
            [&](const auto& other) { return other.namespace_() == placement.namespace_(); });
        if (same == placements.end()) {
            *image.add_placements() = placement;
        } else {
            unite(*same, placement);
        }
    }
    // The signatures are of the target. An index may be another one with the same manifest.
    if (image.target().digest() == before.target().digest()) unite_signatures(image, before);
    if (image.chain_id().empty()) {
        image.set_chain_id(before.chain_id());
        *image.mutable_layers() = before.layers();
    }
}

}  // namespace

std::filesystem::path record_path(const std::filesystem::path& state_dir) {
    return state_dir / "bake.json";
}

v1::BakeRecord read_record(const std::filesystem::path& state_dir) {
    const std::filesystem::path path = record_path(state_dir);
    v1::BakeRecord record;
    from_json(read_file(path, kMaxRecordBytes), record, path.string(), kUnusableRecord);
    require_schema(record.schema(), kSchema, path.string(), "is not a bake record",
                   kUnusableRecord);
    return record;
}

v1::BakeRecord read_required_record(const std::filesystem::path& state_dir) {
    try {
        return read_record(state_dir);
    } catch (const Error& error) {
        if (error.code() != Errc::not_found) throw;
        throw Error(Errc::not_found, "there is no bake record " + record_path(state_dir).string(),
                    "bake something first, or name the right --state-dir");
    }
}

v1::BakeRecord read_record_or_empty(const std::filesystem::path& state_dir) {
    try {
        return read_record(state_dir);
    } catch (const Error& error) {
        if (error.code() != Errc::not_found) throw;
        return {};
    }
}

v1::BakeRecord take_record(const std::filesystem::path& state_dir, std::string& notice) {
    try {
        return read_record(state_dir);
    } catch (const Error& error) {
        if (error.code() == Errc::not_found) return {};
        const auto aside = set_aside(record_path(state_dir), error);
        if (!aside) throw;
        notice = error.message() + "; it was renamed to " + aside->filename().string() +
                 ", and the record begins with this bake: bake your other lists again";
        return {};
    }
}

const v1::BakedImage* find_image(const v1::BakeRecord& record, const std::string& name,
                                 const std::string& platform) {
    const int index = index_of(record, name, platform);
    return index < 0 ? nullptr : &record.images(index);
}

void merge_image(v1::BakeRecord& record, const v1::BakedImage& image) {
    const int index = index_of(record, image.name(), image.platform());
    if (index < 0) {
        *record.add_images() = image;
        return;
    }
    v1::BakedImage& before = *record.mutable_images(index);
    v1::BakedImage merged = image;
    if (before.manifest().digest() == image.manifest().digest()) unite(merged, before);
    before = std::move(merged);
}

void copy_cost(const v1::BakedImage& from, v1::BakedImage& to) {
    to.set_bytes_fetched(from.bytes_fetched());
    to.set_bytes_reused(from.bytes_reused());
    to.set_seconds(from.seconds());
    *to.mutable_baked_at() = from.baked_at();
    to.set_prebake_version(from.prebake_version());
    to.set_containerd_version(from.containerd_version());
}

bool is_for_cri(const v1::BakedImage& image, const v1::Placement& placement) {
    const std::string& config = image.config().media_type();
    return placement.namespace_() == kCriNamespace && image.kind() != v1::BakedImage::ARTIFACT &&
           (config.empty() || oci::media_kind(config) == oci::MediaKind::config);
}

std::string how_to_bake_again(const v1::BakedImage& image, const std::string& ns) {
    const bool has_digest = image.name().find('@') != std::string::npos;
    return "bake it again: prebake bake -n " + ns + " --platform " + image.platform() + " " +
           image.name() + (has_digest ? "" : "@" + image.target().digest());
}

void write_record(const std::filesystem::path& state_dir, const v1::BakeRecord& record) {
    v1::BakeRecord stamped = record;
    stamped.set_schema(kSchema);
    write_file_durably(record_path(state_dir), to_json(stamped, JsonForm::indented) + "\n", 0644);
}

}  // namespace prebake::store
