#include "agent/docker/api_version.h"

#include <algorithm>
#include <charconv>

#include "agent/base/error.h"

namespace prebake::docker {
namespace {

std::optional<int> number_in(std::string_view text) {
    int number = 0;
    const char* const end = text.data() + text.size();
    const auto [stopped, failure] = std::from_chars(text.data(), end, number);
    if (failure != std::errc() || stopped != end || number < 0) return std::nullopt;
    return number;
}

std::string text_of(const ApiRange& range) {
    return range.oldest.str() + " to " + range.newest.str();
}

}  // namespace

std::string ApiVersion::str() const {
    return std::to_string(major) + "." + std::to_string(minor);
}

std::optional<ApiVersion> parse_api_version(std::string_view text) {
    const std::size_t dot = text.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    const auto major = number_in(text.substr(0, dot));
    const auto minor = number_in(text.substr(dot + 1));
    if (!major || !minor) return std::nullopt;
    return ApiVersion{*major, *minor};
}

ApiVersion common_version(const ApiRange& spoken, const std::string& engine) {
    const ApiVersion version = std::min(spoken.newest, kNewestApi);
    if (version >= spoken.oldest && version >= kOldestApi) return version;
    const bool is_engine_older = spoken.newest < kOldestApi;
    throw Error(Errc::unsupported,
                engine + " speaks the API versions " + text_of(spoken) +
                    " of Docker, and prebake " + text_of({kOldestApi, kNewestApi}),
                is_engine_older ? "update Docker"
                                : "update prebake, or set \"min-api-version\" in "
                                  "/etc/docker/daemon.json to " +
                                      kNewestApi.str() + " or less");
}

}  // namespace prebake::docker
