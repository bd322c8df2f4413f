#include "agent/store/store_view.h"

#include "agent/containerd/content.h"
#include "agent/containerd/introspection.h"

namespace prebake::store {

containerd::CriService failed_cri(const Error& error) {
    return {.has_failed = true,
            .problem = "its CRI plugin answers with errors: " + error.message(),
            .next_step = "see why with: journalctl -u containerd"};
}

StoreView::StoreView(const containerd::Connection& connection)
    : connection_(connection), storage_(containerd::plugins(connection)) {
    try {
        cri_service_ = containerd::Cri(connection).service();
    } catch (const Error& error) {
        if (containerd::ends_session(error)) throw;
        cri_failure_ = error;
        cri_service_ = failed_cri(error);
    }
}

const Holdings& StoreView::holdings(const std::string& ns, const std::string& snapshotter) {
    const std::pair key{ns, snapshotter};
    const auto found = holdings_.find(key);
    if (found != holdings_.end()) return found->second;
    return holdings_.emplace(key, read_holdings(connection_, ns, snapshotter)).first->second;
}

bool StoreView::is_readable(const std::string& ns, const containerd::BlobInfo& blob) const {
    // Checking the file saves a call. containerd may have a file that is not visible from here.
    return storage_.sees_blob(blob.digest, blob.size) ||
           containerd::Content(connection_, {.ns = ns, .lease = {}}).is_readable(blob);
}

const containerd::CriImage* StoreView::cri_image(const std::string& name) {
    if (!cri_images_) {
        cri_images_ = containerd::Cri(connection_).list_images();
        for (const containerd::CriImage& image : *cri_images_) {
            cri_names_.emplace(image.id, &image);
            for (const std::string& tag : image.repo_tags) cri_names_.emplace(tag, &image);
            for (const std::string& by : image.repo_digests) cri_names_.emplace(by, &image);
        }
    }
    const auto found = cri_names_.find(name);
    return found == cri_names_.end() ? nullptr : found->second;
}

}  // namespace prebake::store
