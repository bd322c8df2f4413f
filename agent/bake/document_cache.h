#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "agent/bake/once_map.h"
#include "agent/oci/digest.h"

namespace prebake::bake {

/// The documents that were fetched. A list often has one image under several tags, and registries
/// count each GET of a manifest. Thread-safe.
class DocumentCache {
  public:
    /// The document; calls `fetch` if it was not fetched before, and then sets `fetched`.
    std::string get(const oci::Digest& digest, const std::function<std::string()>& fetch,
                    bool& fetched) {
        once_.run(digest, [&] {
            std::string document = fetch();
            const std::scoped_lock lock(mutex_);
            documents_.emplace(digest, std::move(document));
            fetched = true;
        });
        const std::scoped_lock lock(mutex_);
        return documents_.at(digest);
    }

    /// Of all documents that were fetched.
    std::set<oci::Digest> digests() const {
        const std::scoped_lock lock(mutex_);
        std::set<oci::Digest> found;
        for (const auto& [digest, document] : documents_) found.insert(digest);
        return found;
    }

  private:
    OnceMap<oci::Digest> once_;
    mutable std::mutex mutex_;
    std::map<oci::Digest, std::string> documents_;
};

}  // namespace prebake::bake
