#include "agent/store/content_check.h"

#include <memory>

#include "agent/base/error.h"
#include "agent/base/sha256.h"
#include "agent/base/wait.h"
#include "agent/containerd/content.h"
#include "agent/oci/digest.h"

namespace prebake::store {
namespace {

/// Reads the whole blob. Returns what is wrong with it, or an empty string.
std::string damage_of(const containerd::Content& content, const std::string& digest,
                      Verification& result, const std::stop_token& stop) {
    try {
        const std::unique_ptr<Source> source = content.read(oci::Digest::parse(digest));
        const oci::Digest actual(sha256(*source, [&](std::size_t bytes) {
            throw_if_stopped(stop);
            result.bytes_read += bytes;
        }));
        return actual.str() == digest ? "" : "content with digest " + actual.str();
    } catch (const Error& error) {
        if (concerns_everything(error)) throw;
        return "it cannot be read: " + error.message();
    }
}

/// A bake stores the blob again, unless a namespace that it does not know has the damaged file,
/// too.
std::string how_to_replace(const std::string& digest) {
    return "prebake verify --deep --repair; if that finds it again, another namespace holds the "
           "damaged file: ctr -n NAMESPACE content rm " +
           digest + ", then repair again";
}

/// A missing blob or a malformed digest was reported already.
bool is_there(const containerd::Content& content, const std::string& digest) {
    try {
        const auto info = content.info(oci::Digest::parse(digest));
        return info && content.is_readable(*info);
    } catch (const Error& error) {
        if (concerns_everything(error)) throw;
        return false;
    }
}

}  // namespace

/// The blobs that must be there, with their sizes.
std::map<std::string, std::uint64_t> blobs_of(const v1::BakedImage& image,
                                              const v1::Placement& placement) {
    std::map<std::string, std::uint64_t> blobs;
    for (const v1::Document& index : image.indexes()) blobs[index.digest()] = index.size();
    blobs[image.manifest().digest()] = image.manifest().size();
    blobs[image.config().digest()] = image.config().size();
    if (!placement.layers_kept()) return blobs;
    for (const v1::Layer& layer : image.layers()) blobs[layer.digest()] = layer.size();
    return blobs;
}

void ContentCheck::run(const v1::BakedImage& image, const v1::Placement& placement) {
    const std::string& ns = placement.namespace_();
    const containerd::Content content(connection_, {.ns = ns, .lease = {}});
    for (const auto& [digest, size] : blobs_of(image, placement)) {
        if (read_.contains(digest) || !is_there(content, digest)) continue;
        has_read(image, ns, digest, damage_of(content, digest, result_, connection_.stop()));
    }
}

void ContentCheck::has_read(const v1::BakedImage& image, const std::string& ns,
                            const std::string& digest, const std::string& damage) {
    if (!read_.insert(digest).second || damage.empty()) return;
    result_.findings.push_back({.kind = FindingKind::blob_damaged,
                                .check = Check::blobs,
                                .image = image.name(),
                                .platform = image.platform(),
                                .ns = ns,
                                .object = "blob " + digest,
                                .subject = digest,
                                .expected = "content with this digest",
                                .found = damage,
                                .next_step = how_to_replace(digest)});
}

}  // namespace prebake::store
