#include "agent/oci/manifest.h"

#include <boost/json.hpp>
#include <cstddef>
#include <utility>

#include "agent/base/error.h"
#include "agent/oci/quoted.h"

namespace prebake::oci {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxJsonDepth = 32;
/// "[0,0,0,..." needs two bytes per element in the document and 24 in memory: larger documents are
/// refused. The largest real manifests and configs need a tenth of it.
constexpr std::size_t kMaxJsonMemory = 48UL << 20;
constexpr std::size_t kMaxMediaTypeLength = 255;
/// Of one descriptor. Real ones have a dozen.
constexpr std::size_t kMaxAnnotations = 256;
/// 256 TiB: no blob is as large, and the sum of a manifest's blobs cannot overflow.
constexpr std::uint64_t kMaxBlobBytes = 1ULL << 48;

[[noreturn]] void corrupt(const std::string& message) {
    throw Error(Errc::corrupt, message, "the image was built wrong, or is damaged in its registry");
}

[[noreturn]] void unsupported_schema1() {
    throw Error(Errc::unsupported,
                "it is a Docker manifest of schema 1, which is no longer supported",
                "push the image again with a current tool");
}

void limit(std::string_view what, std::size_t actual, std::size_t maximum) {
    if (actual <= maximum) return;
    throw Error(Errc::too_large, "it has " + std::to_string(actual) + " " + std::string(what) +
                                     ", allowed are " + std::to_string(maximum));
}

/// The default memory, up to kMaxJsonMemory.
class LimitedMemory final : public json::memory_resource {
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        limit("bytes of parsed JSON", used_ + bytes, kMaxJsonMemory);
        void* memory = upstream_->allocate(bytes, alignment);
        used_ += bytes;
        return memory;
    }
    void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
        upstream_->deallocate(memory, bytes, alignment);
        used_ -= bytes;
    }
    bool do_is_equal(const json::memory_resource& other) const noexcept override {
        return this == &other;
    }

    json::storage_ptr upstream_;
    std::size_t used_ = 0;
};

/// A parsed document whose top level is an object.
class JsonDocument {
  public:
    JsonDocument(std::string_view text, std::size_t max_bytes) : root_(parse(text, max_bytes)) {
        if (!root_.is_object()) corrupt("its JSON is not an object");
    }
    const json::object& object() const { return root_.get_object(); }

  private:
    json::value parse(std::string_view text, std::size_t max_bytes) {
        limit("bytes", text.size(), max_bytes);
        json::parse_options options;
        options.max_depth = kMaxJsonDepth;
        json::parser parser(&memory_, options);
        parser.reset(&memory_);
        json::error_code error;
        parser.write(text.data(), text.size(), error);
        if (error) corrupt("its JSON is malformed: " + error.message());
        return parser.release();
    }

    LimitedMemory memory_;
    json::value root_;
};

/// The member, or null if it is absent or JSON's null, which Go's encoder writes for empty lists.
const json::value* find(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    return value && !value->is_null() ? value : nullptr;
}

const json::value& get(const json::object& object, std::string_view key) {
    if (const json::value* value = find(object, key)) return *value;
    corrupt("its " + quoted(key) + " is missing");
}

std::string_view as_string(const json::value& value, std::string_view key) {
    if (const json::string* text = value.if_string()) return {text->data(), text->size()};
    corrupt("its " + quoted(key) + " is not a string");
}

const json::object& as_object(const json::value& value, std::string_view key) {
    if (const json::object* object = value.if_object()) return *object;
    corrupt("its " + quoted(key) + " is not an object");
}

std::string_view string_or_empty(const json::object& object, std::string_view key) {
    const json::value* value = find(object, key);
    return value ? as_string(*value, key) : std::string_view();
}

std::string_view nonempty_string(const json::object& object, std::string_view key) {
    const std::string_view text = as_string(get(object, key), key);
    if (text.empty()) corrupt("its " + quoted(key) + " is empty");
    return text;
}

/// A required list, which may be empty or null. `item` parses one element.
template <typename Item, typename Make>
std::vector<Item> parse_list(const json::object& object, std::string_view key, std::size_t maximum,
                             Make make) {
    const json::value* value = object.if_contains(key);
    if (!value) corrupt("its " + quoted(key) + " is missing");
    std::vector<Item> items;
    if (value->is_null()) return items;
    const json::array* array = value->if_array();
    if (!array) corrupt("its " + quoted(key) + " is not a list");
    limit(key, array->size(), maximum);
    items.reserve(array->size());
    for (const json::value& element : *array) {
        const std::string where = std::string(key) + "[" + std::to_string(items.size()) + "]";
        items.push_back(in_context(where, [&] { return make(element); }));
    }
    return items;
}

Digest parse_digest(const json::value& value) {
    try {
        return Digest::parse(as_string(value, "digest"));
    } catch (const Error& error) {
        // The parser assumes that the user wrote the digest; this one is from the registry.
        if (error.code() == Errc::usage) corrupt(error.message());
        throw;
    }
}

std::uint64_t parse_size(const json::value& value) {
    std::uint64_t size = 0;
    if (const auto* number = value.if_int64(); number && *number >= 0) {
        size = static_cast<std::uint64_t>(*number);
    } else if (const auto* large = value.if_uint64()) {
        size = *large;
    } else {
        corrupt("its \"size\" is not a whole number of bytes");
    }
    limit("bytes in one blob", size, kMaxBlobBytes);
    return size;
}

Platform parse_platform(const json::object& object) {
    return Platform::normalised(string_or_empty(object, "os"),
                                string_or_empty(object, "architecture"),
                                string_or_empty(object, "variant"));
}

std::map<std::string, std::string> parse_annotations(const json::object& object) {
    limit("annotations", object.size(), kMaxAnnotations);
    std::map<std::string, std::string> annotations;
    for (const auto& member : object) {
        annotations.emplace(member.key(), as_string(member.value(), "annotations"));
    }
    return annotations;
}

Descriptor parse_descriptor(const json::value& value) {
    const json::object& object = as_object(value, "descriptor");
    const std::string_view media_type = nonempty_string(object, "mediaType");
    limit("bytes in its \"mediaType\"", media_type.size(), kMaxMediaTypeLength);
    Descriptor descriptor{.media_type = std::string(media_type),
                          .digest = parse_digest(get(object, "digest")),
                          .size = parse_size(get(object, "size")),
                          .annotations = {},
                          .platform = std::nullopt};
    if (const json::value* annotations = find(object, "annotations")) {
        descriptor.annotations = parse_annotations(as_object(*annotations, "annotations"));
    }
    return descriptor;
}

Descriptor parse_child(const json::value& value) {
    Descriptor child = parse_descriptor(value);
    if (const json::value* platform = find(value.get_object(), "platform")) {
        child.platform = parse_platform(as_object(*platform, "platform"));
    }
    return child;
}

std::string_view without_parameters(std::string_view media_type) {
    media_type = media_type.substr(0, media_type.find(';'));
    while (media_type.ends_with(' ')) media_type.remove_suffix(1);
    return media_type;
}

/// The media type decides how a document is parsed. A document that is valid as both could be
/// checked as an index and run as a manifest (CVE-2021-41190).
void require_media_type(std::string_view media_type, MediaKind wanted) {
    const MediaKind kind = media_kind(media_type);
    if (kind == MediaKind::schema1) unsupported_schema1();
    if (kind == wanted) return;
    throw Error(Errc::unsupported,
                "its media type " + quoted(media_type) +
                    (wanted == MediaKind::index ? " is no image index" : " is no image manifest"));
}

void refuse_contradictions(const json::object& object, std::string_view media_type) {
    const json::value* version = find(object, "schemaVersion");
    if (object.contains("fsLayers") || object.contains("signatures") ||
        (version && *version == 1)) {
        unsupported_schema1();
    }
    if (version && *version != 2) corrupt("its \"schemaVersion\" is not 2");
    const std::string_view own_type = string_or_empty(object, "mediaType");
    if (!own_type.empty() && own_type != media_type) {
        corrupt("it calls itself " + quoted(own_type) + " but was announced as " +
                quoted(media_type));
    }
}

}  // namespace

Manifest parse_manifest(std::string_view media_type, std::string_view json) {
    media_type = without_parameters(media_type);
    require_media_type(media_type, MediaKind::manifest);
    const JsonDocument document(json, kMaxManifestBytes);
    const json::object& object = document.object();
    refuse_contradictions(object, media_type);
    if (object.contains("manifests")) {
        corrupt("it was announced as an image manifest but has \"manifests\", as an index has");
    }
    return Manifest{
        .media_type = std::string(media_type),
        .config = in_context("config", [&] { return parse_descriptor(get(object, "config")); }),
        .layers = parse_list<Descriptor>(object, "layers", kMaxLayers, parse_descriptor)};
}

Index parse_index(std::string_view media_type, std::string_view json) {
    media_type = without_parameters(media_type);
    require_media_type(media_type, MediaKind::index);
    const JsonDocument document(json, kMaxManifestBytes);
    const json::object& object = document.object();
    refuse_contradictions(object, media_type);
    if (object.contains("config") || object.contains("layers")) {
        corrupt("it was announced as an index but has \"config\" or \"layers\", as a manifest has");
    }
    return Index{
        .media_type = std::string(media_type),
        .manifests = parse_list<Descriptor>(object, "manifests", kMaxIndexEntries, parse_child)};
}

ImageConfig parse_image_config(std::string_view json) {
    const JsonDocument document(json, kMaxConfigBytes);
    const json::object& object = document.object();
    nonempty_string(object, "os");
    nonempty_string(object, "architecture");
    const json::object& rootfs = as_object(get(object, "rootfs"), "rootfs");
    return in_context("rootfs", [&] {
        if (const std::string_view type = nonempty_string(rootfs, "type"); type != "layers") {
            throw Error(Errc::unsupported, "its \"type\" is " + quoted(type) + ", not \"layers\"");
        }
        return ImageConfig{
            .platform = parse_platform(object),
            .diff_ids = parse_list<Digest>(rootfs, "diff_ids", kMaxLayers, parse_digest)};
    });
}

std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids) {
    std::vector<Digest> chain;
    chain.reserve(diff_ids.size());
    for (const Digest& diff_id : diff_ids) {
        chain.push_back(chain.empty() ? diff_id
                                      : Digest::of(chain.back().str() + " " + diff_id.str()));
    }
    return chain;
}

}  // namespace prebake::oci
