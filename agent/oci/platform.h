#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace prebake::oci {

/// os/architecture[/variant], normalised as containerd's platforms package does (x86_64 is amd64,
/// aarch64 is arm64, arm64/v8 is arm64, arm is arm/v7, …).
struct Platform {
    std::string os;
    std::string architecture;
    std::string variant;  ///< empty for most

    /// "linux/arm64", "arm64" (linux implied), "linux/arm/v7".
    /// @throws Error usage that names the text.
    static Platform parse(std::string_view text);
    /// Normalises the three fields of a descriptor or an image config.
    static Platform normalised(std::string_view os, std::string_view architecture,
                               std::string_view variant);
    /// What containers run as on this machine (uname(2)); variant only where Go reports one.
    static Platform host();

    std::string str() const;
    auto operator<=>(const Platform&) const = default;
};

/// The platforms that `wanted` can run, best first, `wanted` itself in front: containerd's
/// platforms.Only (linux/amd64 also runs linux/386; linux/arm64 also arm/v8 … arm/v5, …).
std::vector<Platform> runnable_on(const Platform& wanted);

}  // namespace prebake::oci
