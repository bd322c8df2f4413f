#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/prebake/v1/identity.pb.h"

namespace prebake::machine {

struct MetadataRequest {
    enum class Method { get, put };
    Method method = Method::get;
    std::string url;
    std::vector<std::pair<std::string, std::string>> headers;
};

struct MetadataResponse {
    int status = 0;
    std::string body;  ///< at most kMaxMetadataBytes
};

inline constexpr std::size_t kMaxMetadataBytes = 64UL << 10;

/// Sends a request to the metadata service: one attempt, never through a proxy, no redirects.
class MetadataClient {
  public:
    virtual ~MetadataClient() = default;
    /// @throws Error unavailable, timed_out, not_found, corrupt, too_large, cancelled.
    virtual MetadataResponse send(const MetadataRequest& request, std::chrono::milliseconds limit,
                                  const std::stop_token& stop) = 0;
};

/// What a cloud reports about its instance. Every text is checked: printable, limited in length,
/// and in the format that its use requires. A text that fails the check is empty.
struct Metadata {
    v1::Instance instance;
    std::string account;
    std::string region;
    std::string zone;
    std::string instance_type;
    std::string image_id;
    std::string hostname;  ///< a DNS name
    std::string local_ipv4;
    std::map<std::string, std::string> tags;
};

struct MetadataLimits {
    std::chrono::milliseconds total{60'000};     ///< for everything
    std::chrono::milliseconds attempt{2'000};    ///< for one request
    std::chrono::milliseconds first_delay{200};  ///< doubled after each failure, up to max_delay
    std::chrono::milliseconds max_delay{5'000};

    bool operator==(const MetadataLimits&) const = default;
};

/// How long to wait after the given number of failures in a row (from 1). Pure.
std::chrono::milliseconds next_delay(const MetadataLimits& limits, int failures);

/// Queries the metadata service of the platform of `known`; if that is unknown, all three in turn,
/// one attempt each before any retry. Throttling (429, 503), other 5xx and timeouts are retried
/// with growing delays until `total` has passed. IMDSv2 only: the token comes from a PUT, a 401
/// fetches a new one, a 403 (switched off) is final. Once the instance ID is known, optional values
/// are not waited for.
/// @throws Error not_found (no metadata service), permission_denied (switched off), unavailable,
/// timed_out, corrupt (the response makes no sense), cancelled.
Metadata fetch_metadata(const v1::Instance& known, MetadataClient& client,
                        const MetadataLimits& limits, const std::stop_token& stop);

/// Parsers of responses. Any bytes give a result or an Error corrupt. Pure.
Metadata parse_ec2_identity_document(std::string_view json);
Metadata parse_gce_instance(std::string_view json);
Metadata parse_azure_instance(std::string_view json);
/// A token is one line of printable ASCII, at most 4 KiB.
std::string parse_token(std::string_view body);
/// One tag key on each line, in the characters that IMDS allows.
std::vector<std::string> parse_tag_keys(std::string_view body);

}  // namespace prebake::machine
