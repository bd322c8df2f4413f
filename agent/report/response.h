#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/base/error.h"

/// Responses of the endpoint. Pure.
namespace prebake::report {

struct Response {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body = {};
    std::string allow = {};  ///< the Allow header of a 405
    std::optional<std::chrono::seconds> retry_after = {};
};

/// An error response with a prebake.v1.Failure document.
Response error_response(unsigned status, const Error& error);

enum class After { keep_alive, close };

/// The status line and the headers. `http_version` is 10 or 11.
std::string header_of(const Response& response, unsigned http_version, After after);

}  // namespace prebake::report
