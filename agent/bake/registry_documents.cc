#include "agent/bake/registry_documents.h"

#include <utility>

#include "agent/base/error.h"
#include "agent/store/stored_image.h"

namespace prebake::bake {
namespace {

/// Whether the document can be read as what its media type says.
bool is_of_its_kind(const oci::Document& document) {
    const std::string& type = document.descriptor.media_type;
    try {
        if (oci::media_kind(type) == oci::MediaKind::index) {
            oci::parse_index(type, document.bytes);
        } else {
            oci::parse_manifest(type, document.bytes);
        }
        return true;
    } catch (const Error&) {
        return false;
    }
}

}  // namespace

oci::Descriptor RegistryDocuments::target() {
    named_ = named();
    return named_->descriptor;
}

oci::Document RegistryDocuments::named() {
    const std::stop_token& stop = connection_.stop();
    const oci::Descriptor claimed = remote_.resolve(request_.reference, stop);
    std::exception_ptr failure;  // of the GET by the digest that HEAD names
    const auto fetch_claimed = [&] {
        try {
            return remote_.fetch_claimed(request_.reference, claimed, stop);
        } catch (const Error& error) {
            if (error.code() != Errc::cancelled) failure = std::current_exception();
            throw;
        }
    };
    try {
        oci::Document claimed_document = document(claimed, oci::kMaxManifestBytes, fetch_claimed);
        claimed_document.descriptor.size = claimed_document.bytes.size();
        if (is_of_its_kind(claimed_document)) return claimed_document;
    } catch (const Error&) {
        if (request_.reference.digest || !failure) throw;
    }
    oci::Document found = named_by_get(failure);
    // What the store has already is no news.
    if (stored_document(found.descriptor, oci::kMaxManifestBytes)) found.bytes_fetched = 0;
    return found;
}

/// HEAD may name any digest: GET by the name decides. If that fails as well, what failed before it
/// is the reason.
oci::Document RegistryDocuments::named_by_get(const std::exception_ptr& earlier_failure) {
    try {
        return remote_.fetch_named(request_.reference, connection_.stop());
    } catch (const Error& error) {
        if (earlier_failure && error.code() != Errc::cancelled) {
            std::rethrow_exception(earlier_failure);
        }
        throw;
    }
}

oci::Document RegistryDocuments::manifest(const oci::Descriptor& descriptor) {
    if (named_ && named_->descriptor == descriptor) return *named_;
    return document(descriptor, oci::kMaxManifestBytes, [&] {
        return remote_.fetch_manifest(request_.reference, descriptor, connection_.stop());
    });
}

oci::Document RegistryDocuments::config(const oci::Descriptor& descriptor) {
    return document(descriptor, oci::kMaxConfigBytes, [&] {
        return remote_.fetch_small_blob(request_.reference, descriptor, connection_.stop());
    });
}

oci::Document RegistryDocuments::document(const oci::Descriptor& descriptor, std::size_t limit,
                                          const std::function<std::string()>& fetch) {
    if (auto stored = stored_document(descriptor, limit)) {
        return {.descriptor = descriptor, .bytes = *std::move(stored)};
    }
    bool fetched = false;
    std::string bytes = cache_.get(descriptor.digest, fetch, fetched);
    const std::uint64_t bytes_fetched = fetched ? bytes.size() : 0;
    return {.descriptor = descriptor, .bytes = std::move(bytes), .bytes_fetched = bytes_fetched};
}

/// A damaged one is fetched again, and replaced by BlobFetcher.
std::optional<std::string> RegistryDocuments::stored_document(const oci::Descriptor& descriptor,
                                                              std::size_t limit) const {
    try {
        return store::stored_bytes(connection_, request_.namespaces, descriptor, limit);
    } catch (const Error& error) {
        if (error.code() != Errc::corrupt) throw;
        return std::nullopt;
    }
}

}  // namespace prebake::bake
