#include "agent/bake/layer_downloads.h"

#include "agent/base/error.h"
#include "agent/base/wait.h"

namespace prebake::bake {
namespace {

const store::Labels kNoLabels;

}  // namespace

LayerDownloads::LayerDownloads(const ResolvedImage& image, const std::string& ns,
                               BlobFetcher& fetcher, const std::stop_token& outer)
    : image_(image),
      ns_(ns),
      fetcher_(fetcher),
      futures_(image.contents.layers.size()),
      forward_(outer, [this] { stop_.request_stop(); }) {}

LayerDownloads::~LayerDownloads() {
    stop_.request_stop();
    for (std::future<void>& future : futures_) {
        if (future.valid()) future.wait();
    }
}

void LayerDownloads::start(std::size_t layer, WorkerPool& pool) {
    futures_[layer] = pool.submit([this, layer] {
        try {
            fetch(layer);
        } catch (...) {
            {
                const std::scoped_lock lock(mutex_);
                if (!first_failure_) first_failure_ = std::current_exception();
            }
            stop_.request_stop();
            throw;
        }
    });
}

bool LayerDownloads::wait_for(std::size_t layer) {
    if (!futures_[layer].valid()) return false;
    try {
        futures_[layer].get();
    } catch (...) {
        const std::scoped_lock lock(mutex_);
        if (first_failure_) std::rethrow_exception(first_failure_);
        throw;
    }
    return true;
}

void LayerDownloads::fetch(std::size_t layer) {
    throw_if_stopped(stop_.get_token());
    const oci::Descriptor& blob = image_.contents.layers[layer];
    in_context("layer " + blob.digest.str(), [&] {
        bytes_fetched_ += fetcher_.ensure({.image = image_,
                                           .ns = ns_,
                                           .blob = blob,
                                           .labels = kNoLabels,
                                           .bytes = nullptr,
                                           .stop = stop_.get_token()});
    });
}

}  // namespace prebake::bake
