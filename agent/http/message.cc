#include "agent/http/message.h"

#include <algorithm>

#include "agent/base/ascii.h"
#include "agent/base/error.h"

namespace prebake::http {
namespace {

/// Reading more than this costs more than a new connection.
constexpr std::size_t kMaxDiscardedBytes = 64UL << 10;

bool same_name(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, {}, to_lower, to_lower);
}

}  // namespace

std::string_view to_string(Method method) {
    switch (method) {
        case Method::get:
            return "GET";
        case Method::head:
            return "HEAD";
        case Method::post:
            return "POST";
        case Method::put:
            return "PUT";
    }
    return "GET";
}

std::optional<std::string> find_header(const Headers& headers, std::string_view name) {
    for (const auto& [key, value] : headers) {
        if (same_name(key, name)) return value;
    }
    return std::nullopt;
}

std::vector<std::string> find_headers(const Headers& headers, std::string_view name) {
    std::vector<std::string> values;
    for (const auto& [key, value] : headers) {
        if (same_name(key, name)) values.push_back(value);
    }
    return values;
}

void set_header(Headers& headers, std::string_view name, std::string_view value) {
    std::erase_if(headers, [&](const auto& header) { return same_name(header.first, name); });
    headers.emplace_back(name, value);
}

void discard_body(Response& response) {
    try {
        const bool is_short = response.content_length.value_or(0) <= kMaxDiscardedBytes;
        if (is_short && read_up_to(response, kMaxDiscardedBytes)) return;
    } catch (const Error&) {
        // The connection is closed instead of being used again.
    }
    response.close();
}

}  // namespace prebake::http
