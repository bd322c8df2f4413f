#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/bake/fetch.h"
#include "agent/bake/resolve.h"
#include "agent/base/worker_pool.h"

namespace prebake::bake {

/// The layers of one image that are being stored in one namespace. The first that fails stops the
/// others: the image cannot be complete any more. The destructor stops what is left and waits for
/// it. Methods are for one thread.
class LayerDownloads {
  public:
    /// A stop request to `outer` stops all layers.
    LayerDownloads(const ResolvedImage& image, const std::string& ns, BlobFetcher& fetcher,
                   const std::stop_token& outer);
    ~LayerDownloads();
    LayerDownloads(const LayerDownloads&) = delete;
    LayerDownloads& operator=(const LayerDownloads&) = delete;

    /// Begins to store a layer on a thread of `pool`.
    void start(std::size_t layer, WorkerPool& pool);
    /// Waits until the layer is stored. False if it was not started. @throws Error of the layer
    /// that failed first, also for a layer that was stopped because of it.
    bool wait_for(std::size_t layer);
    /// Requested when a layer has failed, or the destructor runs.
    std::stop_token stop_token() const { return stop_.get_token(); }
    /// Bytes that came over the network so far.
    std::uint64_t bytes_fetched() const { return bytes_fetched_; }

  private:
    void fetch(std::size_t layer);

    const ResolvedImage& image_;
    const std::string& ns_;
    BlobFetcher& fetcher_;
    std::atomic<std::uint64_t> bytes_fetched_{0};
    std::mutex mutex_;
    std::exception_ptr first_failure_;
    std::vector<std::future<void>> futures_;
    std::stop_source stop_;
    std::stop_callback<std::function<void()>> forward_;
};

}  // namespace prebake::bake
