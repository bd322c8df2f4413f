#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

/// Versions of the Engine API. Pure.
namespace prebake::docker {

struct ApiVersion {
    int major = 0;
    int minor = 0;

    /// "1.41"
    std::string str() const;
    auto operator<=>(const ApiVersion&) const = default;
};

/// Docker 1.12: the first one whose clients agree on a version with it.
inline constexpr ApiVersion kOldestApi{1, 24};
/// Docker 27.5. Later ones add nothing that is used here.
inline constexpr ApiVersion kNewestApi{1, 47};
/// The first one in which a pull has a platform.
inline constexpr ApiVersion kPlatformApi{1, 32};

/// Nothing if it is not "1.41" or the like.
std::optional<ApiVersion> parse_api_version(std::string_view text);

/// The versions that an engine speaks.
struct ApiRange {
    ApiVersion oldest;
    ApiVersion newest;
};

/// The newest version that both sides speak.
/// @throws Error unsupported with both ranges, and `engine` ("Docker 1.10.3"), if there is none.
ApiVersion common_version(const ApiRange& spoken, const std::string& engine);

}  // namespace prebake::docker
