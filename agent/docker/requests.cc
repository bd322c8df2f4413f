#include "agent/docker/requests.h"

#include <algorithm>
#include <boost/json.hpp>
#include <string_view>

#include "agent/base/base64.h"
#include "agent/base/error.h"
#include "agent/http/url.h"

namespace prebake::docker {
namespace {

/// A name in a path: its slashes stay.
std::string path_text(std::string_view name) {
    std::string text;
    for (const char c : name) {
        const bool stays = c == '/' || c == ':' || c == '@';
        text += stays ? std::string(1, c) : http::percent_encode(std::string_view(&c, 1));
    }
    return text;
}

/// "1764547200.000000123"
std::string time_text(std::chrono::system_clock::time_point at) {
    const auto since_1970 =
        std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch()).count();
    constexpr std::int64_t kSecond = 1'000'000'000;
    const std::string nanoseconds = std::to_string(kSecond + since_1970 % kSecond).substr(1);
    return std::to_string(since_1970 / kSecond) + "." + nanoseconds;
}

}  // namespace

std::string inspect_path(const std::string& name) {
    return "/images/" + path_text(name) + "/json";
}

std::string tag_path(const std::string& name, const oci::Reference& tag) {
    return "/images/" + path_text(name) + "/tag?repo=" + http::percent_encode(tag.name()) +
           "&tag=" + http::percent_encode(tag.tag.value_or("latest"));
}

std::string pull_path(const PullRequest& pull, ApiVersion version) {
    const oci::Reference& reference = pull.reference;
    const std::string which =
        reference.digest ? reference.digest->str() : reference.tag.value_or("latest");
    std::string path = "/images/create?fromImage=" + http::percent_encode(reference.name()) +
                       "&tag=" + http::percent_encode(which);
    if (version >= kPlatformApi) {
        return path + "&platform=" + http::percent_encode(pull.platform.str());
    }
    if (pull.platform == oci::Platform::host()) return path;
    throw Error(Errc::unsupported,
                "this dockerd can only pull images of its own platform, " +
                    oci::Platform::host().str() + ", and not of " + pull.platform.str(),
                "update Docker to 17.09 or later");
}

std::string events_path(std::chrono::system_clock::time_point since) {
    return "/events?since=" + time_text(since) +
           "&filters=" + http::percent_encode(R"({"type":["container","image"]})");
}

std::string auth_header(const RegistryLogin& login) {
    boost::json::object document;
    if (login.identity_token.empty()) {
        document["username"] = login.username;
        document["password"] = login.password;
    } else {
        document["identitytoken"] = login.identity_token;
    }
    document["serveraddress"] = login.server;
    // RFC 4648 section 5, with padding.
    std::string text = base64_encode(boost::json::serialize(document));
    std::ranges::replace(text, '+', '-');
    std::ranges::replace(text, '/', '_');
    return text;
}

}  // namespace prebake::docker
