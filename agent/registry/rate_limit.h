#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/http/message.h"

namespace prebake::registry {

/// How many pulls a registry allows, as Docker Hub reports it. It counts each GET of a manifest.
struct RateLimit {
    std::uint64_t limit = 0;  ///< pulls within the window
    std::uint64_t remaining = 0;
    std::optional<std::chrono::seconds> window = {};
    /// Whose pulls are counted: an IP address, or the ID of an account. May be empty.
    std::string source = {};

    bool operator==(const RateLimit&) const = default;
};

/// "ratelimit-limit: 100;w=21600", "ratelimit-remaining: 76;w=21600" and
/// "docker-ratelimit-source: 203.0.113.7". Nothing without the first two. Pure.
std::optional<RateLimit> rate_limit_in(const http::Headers& headers);

}  // namespace prebake::registry
