#include "agent/oci/platform.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "agent/base/error.h"
#include "agent/oci/quoted.h"

// The rules of github.com/containerd/platforms.
namespace prebake::oci {
namespace {

/// Go's names, normalised.
constexpr std::array<std::string_view, 17> kArchitectures = {
    "386",   "amd64",   "arm",   "arm64",   "loong64", "mips",  "mips64",  "mips64le", "mipsle",
    "ppc64", "ppc64le", "riscv", "riscv64", "s390",    "s390x", "sparc64", "wasm",
};

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return result;
}

bool is_architecture(std::string_view text) {
    const std::string name = Platform::normalised("linux", text, "").architecture;
    return std::find(kArchitectures.begin(), kArchitectures.end(), name) != kArchitectures.end();
}

bool is_component(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-' || c == '.';
    });
}

[[noreturn]] void refuse_platform(std::string_view text, const std::string& reason) {
    throw Error(Errc::usage, "invalid platform " + quoted(text) + ": " + reason,
                "write OS/ARCHITECTURE[/VARIANT], for example linux/arm64");
}

/// "v3" is {3, 0}, "v8.2" is {8, 2}. One digit each: real ones have no more, and a hostile
/// "v999999999" must not make a long list.
struct Version {
    int major;
    int minor;
};

std::optional<Version> parse_version(std::string_view variant) {
    const auto is_digit = [&](std::size_t at) { return variant[at] >= '0' && variant[at] <= '9'; };
    if (variant.size() < 2 || variant[0] != 'v' || !is_digit(1)) return std::nullopt;
    const int major = variant[1] - '0';
    if (variant.size() == 2) return Version{major, 0};
    if (variant.size() != 4 || variant[2] != '.' || !is_digit(3)) return std::nullopt;
    return Version{major, variant[3] - '0'};
}

/// Collects the platforms that run on one, in order.
class Runnable {
  public:
    explicit Runnable(const Platform& wanted) : platforms_{wanted} {}

    void add(std::string_view architecture, std::string_view variant) {
        platforms_.push_back(Platform::normalised(platforms_.front().os, architecture, variant));
    }
    /// v`from`, one less, ... v`to`
    void add_down(std::string_view architecture, int from, int to) {
        for (int version = from; version >= to; --version) {
            add(architecture, std::string("v").append(std::to_string(version)));
        }
    }
    /// v`major`.`minor`, ... v`major`.1, v`major`
    void add_minors_down(std::string_view architecture, int major, int minor) {
        for (; minor >= 0; --minor) {
            std::string variant = std::string("v").append(std::to_string(major));
            if (minor > 0) variant.append(".").append(std::to_string(minor));
            add(architecture, variant);
        }
    }
    std::vector<Platform> take() { return std::move(platforms_); }

  private:
    std::vector<Platform> platforms_;
};

}  // namespace

Platform Platform::parse(std::string_view text) {
    std::vector<std::string_view> parts;
    for (std::string_view rest = text;;) {
        const auto slash = rest.find('/');
        parts.push_back(rest.substr(0, slash));
        if (!is_component(parts.back())) {
            refuse_platform(text, parts.back().empty()
                                      ? "a part of it is empty"
                                      : "a part has other characters than [A-Za-z0-9_.-]");
        }
        if (parts.size() > 3) refuse_platform(text, "it has more than three parts");
        if (slash == std::string_view::npos) break;
        rest.remove_prefix(slash + 1);
    }
    if (parts.size() == 1) {
        // containerd would complete "linux" with the architecture of the builder. Then the same
        // list would mean different images on different builders.
        if (!is_architecture(parts[0]))
            refuse_platform(text, "it is no architecture that is known");
        return normalised("linux", parts[0], "");
    }
    if (is_architecture(parts[0])) refuse_platform(text, "the operating system has to stand first");
    return normalised(parts[0], parts[1], parts.size() == 3 ? parts[2] : "");
}

Platform Platform::normalised(std::string_view os, std::string_view architecture,
                              std::string_view variant) {
    Platform platform{
        .os = lower(os), .architecture = lower(architecture), .variant = lower(variant)};
    if (platform.os.empty()) platform.os = "linux";
    if (platform.os == "macos") platform.os = "darwin";

    std::string& arch = platform.architecture;
    std::string& var = platform.variant;
    if (arch == "i386") {
        arch = "386";
        var.clear();
    } else if (arch == "x86_64" || arch == "x86-64" || arch == "amd64") {
        arch = "amd64";
        if (var == "v1") var.clear();
    } else if (arch == "aarch64" || arch == "arm64") {
        arch = "arm64";
        if (var == "8" || var == "v8" || var == "v8.0") var.clear();
    } else if (arch == "armhf") {
        arch = "arm";
        var = "v7";
    } else if (arch == "armel") {
        arch = "arm";
        var = "v6";
    } else if (arch == "arm") {
        if (var.empty()) var = "v7";
        if (var == "5" || var == "6" || var == "7" || var == "8") var.insert(var.begin(), 'v');
    }
    return platform;
}

Platform platform_of_machine(std::string_view machine) {
    // A 32-bit x86 kernel may also report i486, i586 or i686.
    if (machine.size() == 4 && machine.starts_with('i') && machine.ends_with("86"))
        machine = "i386";
    if (machine == "loongarch64") machine = "loong64";
    // armv5tel, armv6l, armv7l, and armv8l for a 32-bit process on a 64-bit kernel.
    if (machine.size() > 4 && machine.starts_with("armv")) {
        return Platform::normalised("linux", "arm", machine.substr(3, 2));
    }
    return Platform::normalised("linux", machine, "");
}

Platform Platform::host() {
    struct utsname name {};
    if (::uname(&name) != 0) throw Error(Errc::internal, "uname(2) failed");
    return platform_of_machine(name.machine);
}

std::string Platform::str() const {
    return os + "/" + architecture + (variant.empty() ? "" : "/" + variant);
}

std::vector<Platform> runnable_on(const Platform& wanted) {
    Runnable runnable(wanted);
    if (wanted.architecture == "amd64") {
        if (const auto version = parse_version(wanted.variant)) {
            runnable.add_down("amd64", version->major - 1, 1);
        }
        runnable.add("386", "");
    } else if (wanted.architecture == "arm") {
        if (const auto version = parse_version(wanted.variant)) {
            runnable.add_down("arm", version->major - 1, 5);
        }
    } else if (wanted.architecture == "arm64") {
        const auto version = parse_version(wanted.variant.empty() ? "v8" : wanted.variant);
        if (version && version->major >= 8) {
            if (version->major == 9) {
                runnable.add_minors_down("arm64", 9, version->minor - 1);
                // Armv9.x contains Armv8.(x+5).
                runnable.add_minors_down("arm64", 8, version->minor + 5);
            } else {
                runnable.add_minors_down("arm64", 8, version->minor - 1);
            }
            runnable.add_down("arm", 8, 5);
        }
    }
    return runnable.take();
}

}  // namespace prebake::oci
