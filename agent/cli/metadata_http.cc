#include "agent/cli/metadata_http.h"

#include <array>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <span>
#include <thread>

#include "agent/base/error.h"
#include "agent/http/client.h"

namespace prebake::cli {
namespace {

/// A stop request that comes by itself when the time is up: what bounds a server that sends a byte
/// now and then.
class Deadline {
  public:
    Deadline(std::chrono::milliseconds limit, const std::stop_token& outer)
        : on_outer_stop_(outer, [this] { source_.request_stop(); }),
          timer_([this, limit](const std::stop_token& ended) { wait(limit, ended); }) {}

    std::stop_token token() const { return source_.get_token(); }

  private:
    void wait(std::chrono::milliseconds limit, const std::stop_token& ended) {
        std::unique_lock lock(mutex_);
        if (!wake_.wait_for(lock, ended, limit, [] { return false; }) && !ended.stop_requested()) {
            source_.request_stop();
        }
    }

    std::stop_source source_;
    std::stop_callback<std::function<void()>> on_outer_stop_;
    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::jthread timer_;  // last: joined before what it uses goes away
};

std::string read_body(Source& source, const std::string& url) {
    std::string body;
    std::array<std::byte, 4096> buffer;
    while (const std::size_t count = source.read(buffer)) {
        if (body.size() + count > machine::kMaxMetadataBytes) {
            throw Error(Errc::too_large, url + " answers with more than " +
                                             std::to_string(machine::kMaxMetadataBytes) + " bytes");
        }
        body.append(reinterpret_cast<const char*>(buffer.data()), count);
    }
    return body;
}

using machine::MetadataRequest;

class HttpTransport : public machine::MetadataTransport {
  public:
    machine::MetadataResponse send(const MetadataRequest& request, std::chrono::milliseconds limit,
                                   const std::stop_token& stop) override {
        if (!client_) {
            client_ =
                http::make_client({.connect = limit, .stall = limit}, "prebake/" PREBAKE_VERSION);
        }
        http::Request message;
        if (request.method == MetadataRequest::Method::put) message.method = http::Method::put;
        message.url = request.url;
        message.headers = request.headers;
        const Deadline deadline(limit, stop);
        try {
            const auto response = client_->send(message, deadline.token());
            return {.status = response->status, .body = read_body(*response, request.url)};
        } catch (const Error& error) {
            if (error.code() != Errc::cancelled || stop.stop_requested()) throw;
            throw Error(Errc::timed_out, request.url + " did not answer within " +
                                             std::to_string(limit.count()) + " ms");
        }
    }

  private:
    std::unique_ptr<http::Client> client_;
};

}  // namespace

std::unique_ptr<machine::MetadataTransport> make_metadata_transport() {
    return std::make_unique<HttpTransport>();
}

}  // namespace prebake::cli
