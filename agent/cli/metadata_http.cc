#include "agent/cli/metadata_http.h"

#include "agent/base/error.h"
#include "agent/base/stream.h"
#include "agent/http/client.h"

namespace prebake::cli {
namespace {

using machine::MetadataRequest;

class HttpMetadataClient : public machine::MetadataClient {
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
        message.time_limit = limit;
        const auto response = client_->send(message, stop);
        auto body = read_up_to(*response, machine::kMaxMetadataBytes);
        if (!body) {
            throw Error(Errc::too_large, request.url + " answers with more than " +
                                             std::to_string(machine::kMaxMetadataBytes) + " bytes");
        }
        return {.status = response->status, .body = *std::move(body)};
    }

  private:
    std::unique_ptr<http::Client> client_;
};

}  // namespace

std::unique_ptr<machine::MetadataClient> make_metadata_client() {
    return std::make_unique<HttpMetadataClient>();
}

}  // namespace prebake::cli
