// hosts.toml: whatever it says, there is at least one endpoint with a URL that can be asked, or an
// error of the user's.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/http/url.h"
#include "agent/registry/hosts_file.h"

namespace {

using prebake::Errc;
using prebake::Error;
using prebake::registry::Endpoint;

std::vector<Endpoint> endpoints_in(std::string_view text) {
    try {
        auto endpoints = prebake::registry::parse_hosts_file(text, "/d/hosts.toml", "reg.example");
        if (endpoints.empty()) std::abort();
        return endpoints;
    } catch (const Error& error) {
        if (error.code() != Errc::usage) std::abort();
        return {};
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    for (const Endpoint& endpoint : endpoints_in({reinterpret_cast<const char*>(data), size})) {
        prebake::http::parse_url(endpoint.base_url + endpoint.path + "/a/manifests/b");
        if (endpoint.base_url.ends_with('/') || endpoint.path.ends_with('/')) std::abort();
        static_cast<void>(endpoint.repository_of("library/nginx"));
    }
    return 0;
}
