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
    /// The platform of containers on this machine (uname(2)); with a variant only where Go has one.
    static Platform host();

    std::string str() const;
    auto operator<=>(const Platform&) const = default;
};

/// The platforms that run on `wanted`, best first, starting with `wanted` itself: containerd's
/// platforms.Only (linux/amd64 also runs linux/386; linux/arm64 also arm/v8 … arm/v5, …).
std::vector<Platform> runnable_on(const Platform& wanted);

/// The platform of a Linux machine with the `machine` of uname(2): "x86_64" is linux/amd64,
/// "armv6l" is linux/arm/v6. Other names stay: Go uses those of uname for the rest (s390x, ppc64le,
/// ...).
Platform platform_of_machine(std::string_view machine);

}  // namespace prebake::oci
