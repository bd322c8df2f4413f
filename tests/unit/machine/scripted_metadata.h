#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/machine/metadata.h"

namespace prebake::tests {

inline constexpr const char* kEc2Document = R"({
  "accountId" : "123456789012", "architecture" : "x86_64", "availabilityZone" : "eu-west-1a",
  "billingProducts" : null, "imageId" : "ami-0123456789abcdef0",
  "instanceId" : "i-0123456789abcdef0", "instanceType" : "m5.large",
  "pendingTime" : "2026-01-02T03:04:05Z", "privateIp" : "10.24.34.0", "region" : "eu-west-1",
  "version" : "2017-09-30"
})";

/// A metadata service that behaves as told. What it was not told about cannot be reached.
class ScriptedMetadata : public machine::MetadataClient {
  public:
    using Answer = std::function<machine::MetadataResponse(const machine::MetadataRequest&)>;

    /// `call` is the method and the URL: "PUT http://...". The last answer of a list repeats.
    void on(const std::string& call, std::vector<Answer> answers) {
        script_[call] = {std::move(answers), 0};
    }
    void on(const std::string& call, int status, std::string body) {
        on(call, {[status, body](const machine::MetadataRequest&) {
               return machine::MetadataResponse{.status = status, .body = body};
           }});
    }

    static Answer says(int status, std::string body = {}) {
        return [status, body](const machine::MetadataRequest&) {
            return machine::MetadataResponse{.status = status, .body = body};
        };
    }
    static Answer fails(Errc code) {
        return [code](const machine::MetadataRequest& request) -> machine::MetadataResponse {
            throw Error(code, request.url + " does not answer");
        };
    }

    machine::MetadataResponse send(const machine::MetadataRequest& request,
                                   std::chrono::milliseconds limit,
                                   const std::stop_token&) override {
        const bool is_put = request.method == machine::MetadataRequest::Method::put;
        const std::string call = (is_put ? "PUT " : "GET ") + request.url;
        calls.push_back(call);
        limits.push_back(limit);
        const auto found = script_.find(call);
        if (found == script_.end()) return fails(Errc::unavailable)(request);
        auto& [answers, next] = found->second;
        const Answer& answer = answers[next];
        if (next + 1 < answers.size()) ++next;
        return answer(request);
    }

    std::size_t count(const std::string& call) const {
        std::size_t found = 0;
        for (const std::string& made : calls) found += made == call ? 1 : 0;
        return found;
    }

    std::vector<std::string> calls;
    std::vector<std::chrono::milliseconds> limits;

  private:
    std::map<std::string, std::pair<std::vector<Answer>, std::size_t>> script_;
};

inline constexpr const char* kEc2 = "http://169.254.169.254/latest";
inline constexpr const char* kEc2Ipv6 = "http://[fd00:ec2::254]/latest";

inline std::string header_of(const machine::MetadataRequest& request, const std::string& name) {
    for (const auto& header : request.headers) {
        if (header.first == name) return header.second;
    }
    return {};
}

/// IMDSv2 as EC2 has it: nothing without the token.
inline ScriptedMetadata::Answer with_token(const std::string& token, std::string body) {
    return [token, body](const machine::MetadataRequest& request) {
        const bool is_right = header_of(request, "X-aws-ec2-metadata-token") == token;
        return machine::MetadataResponse{.status = is_right ? 200 : 401,
                                         .body = is_right ? body : ""};
    };
}

inline void serve_ec2(ScriptedMetadata& service, const std::string& document = kEc2Document) {
    const std::string base = kEc2;
    service.on("PUT " + base + "/api/token", {[](const machine::MetadataRequest& request) {
                   const bool is_right =
                       header_of(request, "X-aws-ec2-metadata-token-ttl-seconds") == "900";
                   return machine::MetadataResponse{.status = is_right ? 200 : 400,
                                                    .body = "TOKEN=="};
               }});
    service.on("GET " + base + "/dynamic/instance-identity/document",
               {with_token("TOKEN==", document)});
    service.on("GET " + base + "/meta-data/local-hostname",
               {with_token("TOKEN==", "ip-10-24-34-0.eu-west-1.compute.internal")});
    service.on("GET " + base + "/meta-data/tags/instance", 404, "");
}

}  // namespace prebake::tests
