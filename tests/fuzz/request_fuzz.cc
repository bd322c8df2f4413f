// Every request gets a resource that it may have, or a well-formed error.
// The input is four lines: "unix" or not, the method, the target, the Host.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/base/json.h"
#include "agent/report/router.h"
#include "proto/prebake/v1/problem.pb.h"

namespace {

using prebake::report::Request;
using prebake::report::Response;
using prebake::report::Route;
using prebake::report::SocketKind;

void require(bool condition) {
    if (!condition) std::abort();
}

/// Written otherwise than the router does it: one of three names, then nothing or a port.
bool is_loopback(std::string_view host) {
    for (const std::string_view name : {"localhost", "127.0.0.1", "[::1]"}) {
        if (host.size() < name.size()) continue;
        bool is_same = true;
        for (std::size_t i = 0; i < name.size(); ++i) {
            const char c =
                host[i] >= 'A' && host[i] <= 'Z' ? static_cast<char>(host[i] | 32) : host[i];
            is_same = is_same && c == name[i];
        }
        if (!is_same) continue;
        const std::string_view port = host.substr(name.size());
        if (port.empty()) return true;
        return port.front() == ':' && port.find_first_not_of("0123456789", 1) == port.npos;
    }
    return false;
}

/// Of the absolute form, if it is one.
std::string_view authority_of(std::string_view target) {
    target.remove_prefix(std::string_view("http://").size());
    return target.substr(0, target.find_first_of("/?"));
}

void check_shown(const Request& request, const Route& route) {
    require(request.method == "GET" || request.method == "HEAD");
    require(route.wait.count() >= 0);
    require(route.wait <= prebake::report::kMaxWait);
    if (request.socket_kind == SocketKind::unix_socket) return;
    require(!request.host.empty());
    const bool is_absolute = !request.target.starts_with('/');
    require(is_loopback(is_absolute ? authority_of(request.target) : request.host));
}

void check_refused(const Response& error) {
    require(error.status == 400 || error.status == 404 || error.status == 405 ||
            error.status == 421);
    require((error.status == 405) == !error.allow.empty());
    require(error.body.size() < 2048);
    require(error.body.find('\n') == error.body.size() - 1);
    prebake::v1::Failure failure;
    prebake::from_json(error.body, failure, "the error", "");
    require(!failure.problem().message().empty());
    require(!failure.problem().next_step().empty());
    const auto header = prebake::report::header_of(error, 11, prebake::report::After::keep_alive);
    require(header.find("\r\n\r\n") == header.size() - 4);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    std::array<std::string, 4> lines;
    for (auto& line : lines) {
        line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
    }
    const Request request{
        .method = lines[1],
        .target = lines[2],
        .host = lines[3],
        .socket_kind = lines[0] == "unix" ? SocketKind::unix_socket : SocketKind::tcp};
    const Route route = prebake::report::route(request);
    if (route.resource) {
        check_shown(request, route);
    } else {
        check_refused(route.error);
    }
    return 0;
}
