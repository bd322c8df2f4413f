#include "agent/registry/kubelet_flags.h"

#include <algorithm>
#include <array>
#include <string>
#include <system_error>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file_trust.h"

namespace prebake::registry {
namespace {

constexpr std::size_t kMaxFileBytes = 1UL << 20;

/// Files that may have flags of the kubelet; of a directory, its *.conf. Later ones count more.
constexpr std::array kFlagPlaces{
    "usr/lib/systemd/system/kubelet.service",
    "usr/lib/systemd/system/kubelet.service.d",
    "lib/systemd/system/kubelet.service",
    "lib/systemd/system/kubelet.service.d",
    "etc/systemd/system/kubelet.service",
    "etc/systemd/system/kubelet.service.d",
    "etc/default/kubelet",          // kubeadm on Debian, AKS
    "etc/sysconfig/kubelet",        // kubeadm on RPM distributions, kOps
    "etc/eks/kubelet/environment",  // nodeadm
    "var/lib/kubelet/kubeadm-flags.env",
};

struct UsualPlace {
    const char* config;
    const char* programs;
};

constexpr std::array kUsualPlaces{
    UsualPlace{"etc/eks/image-credential-provider/config.json",
               "etc/eks/image-credential-provider"},
    UsualPlace{"var/lib/kubelet/credential-provider-config.yaml",  // AKS
               "var/lib/kubelet/credential-provider"},
    UsualPlace{"var/lib/rancher/credentialprovider/config.yaml",  // k3s, RKE2
               "var/lib/rancher/credentialprovider/bin"},
    UsualPlace{"etc/srv/kubernetes/cri_auth_config.yaml", "home/kubernetes/bin"},  // GKE
    UsualPlace{"etc/kubernetes/kubelet/credential-provider-config.yaml",           // Bottlerocket
               "usr/libexec/kubernetes/kubelet/plugins"},
};

std::string value_of(std::string_view flag, std::string_view text) {
    const std::size_t found = text.rfind(flag);
    if (found == std::string_view::npos) return {};
    text.remove_prefix(found + flag.size());
    // "=VALUE", " VALUE", "='VALUE'"; a line may end with a backslash.
    const std::size_t start = text.find_first_not_of("= \t\"'");
    if (start == 0 || start == std::string_view::npos) return {};
    text.remove_prefix(start);
    return std::string(text.substr(0, text.find_first_of(" \t\r\n\"'\\")));
}

std::string text_of(const std::filesystem::path& file) {
    try {
        return read_trusted_file(file, kMaxFileBytes, WhoseFile::ours) + "\n";
    } catch (const Error&) {
        return {};  // a file that others can change must not name programs to run
    }
}

std::vector<std::filesystem::path> files_at(const std::filesystem::path& place) {
    std::vector<std::filesystem::path> files;
    std::error_code is_no_directory;
    for (const auto& entry : std::filesystem::directory_iterator(place, is_no_directory)) {
        if (entry.path().extension() == ".conf") files.push_back(entry.path());
    }
    if (is_no_directory) return {place};
    std::sort(files.begin(), files.end());
    return files;
}

bool is_there(const ProviderPlaces& places) {
    std::error_code ignored;
    return !places.config.empty() && !places.programs.empty() &&
           std::filesystem::exists(places.config, ignored);
}

std::filesystem::path inside(const std::filesystem::path& root, const std::filesystem::path& path) {
    return path.empty() ? path : root / path.relative_path();
}

}  // namespace

ProviderPlaces provider_flags_in(std::string_view text) {
    return {.config = value_of("--image-credential-provider-config", text),
            .programs = value_of("--image-credential-provider-bin-dir", text)};
}

ProviderPlaces find_providers(const std::filesystem::path& root) {
    std::string text;
    for (const char* place : kFlagPlaces) {
        for (const std::filesystem::path& file : files_at(root / place)) text += text_of(file);
    }
    const ProviderPlaces named = provider_flags_in(text);
    ProviderPlaces places{.config = inside(root, named.config),
                          .programs = inside(root, named.programs)};
    if (is_there(places)) return places;
    for (const UsualPlace& usual : kUsualPlaces) {
        ProviderPlaces candidate{.config = root / usual.config, .programs = root / usual.programs};
        if (is_there(candidate)) return candidate;
    }
    return {};
}

}  // namespace prebake::registry
