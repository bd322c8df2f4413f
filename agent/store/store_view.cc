#include "agent/store/store_view.h"

#include <vector>

#include "agent/containerd/content.h"
#include "agent/containerd/introspection.h"

namespace prebake::store {

StoreView::StoreView(const containerd::Connection& connection)
    : connection_(connection),
      storage_(containerd::plugins(connection)),
      cri_service_(containerd::Cri(connection).service()) {}

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

std::string StoreView::cri_image(const std::string& name) {
    if (!cri_images_) {
        Ids ids;
        for (const containerd::CriImage& image : containerd::Cri(connection_).list_images()) {
            ids.emplace(image.id, image.id);
            for (const std::string& tag : image.repo_tags) ids.emplace(tag, image.id);
            for (const std::string& by : image.repo_digests) ids.emplace(by, image.id);
        }
        cri_images_ = std::move(ids);
    }
    const auto found = cri_images_->find(name);
    return found == cri_images_->end() ? std::string() : found->second;
}

}  // namespace prebake::store
