#include "agent/report/response.h"

#include <string_view>

#include "agent/base/json.h"
#include "agent/base/problem.h"

namespace prebake::report {
namespace {

/// RFC 9110 (15): only for people, and may be empty.
std::string_view reason_of(unsigned status) {
    switch (status) {
        case 200:
            return "OK";
        case 400:
            return "Bad Request";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 408:
            return "Request Timeout";
        case 413:
            return "Content Too Large";
        case 421:
            return "Misdirected Request";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 503:
            return "Service Unavailable";
        default:
            return "";
    }
}

}  // namespace

Response error_response(unsigned status, const Error& error) {
    v1::Failure failure;
    failure.set_schema("prebake.v1.Failure");
    *failure.mutable_problem() = problem_of(error);
    return {.status = status, .body = to_json(failure, JsonForm::line) + "\n"};
}

std::string header_of(const Response& response, unsigned http_version, After after) {
    std::string header = http_version == 10 ? "HTTP/1.0 " : "HTTP/1.1 ";
    header += std::to_string(response.status) + ' ';
    header += reason_of(response.status);
    header += "\r\nContent-Type: " + response.content_type;
    header += "\r\nContent-Length: " + std::to_string(response.body.size());
    header += "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff";
    if (!response.allow.empty()) header += "\r\nAllow: " + response.allow;
    if (response.retry_after) {
        header += "\r\nRetry-After: " + std::to_string(response.retry_after->count());
    }
    header += after == After::close ? "\r\nConnection: close" : "\r\nConnection: keep-alive";
    return header + "\r\n\r\n";
}

}  // namespace prebake::report
