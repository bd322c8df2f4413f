#include "agent/containerd/config_file.h"

#include <glob.h>

#include <algorithm>
#include <initializer_list>
#include <set>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/toml.h"

namespace prebake::containerd {
namespace {

constexpr std::size_t kMaxFileBytes = 1UL << 20;
/// Imports may import.
constexpr std::size_t kMaxFiles = 100;

/// The value at `path`; null if there is none.
const toml::node* node_at(const toml::table& root, std::initializer_list<std::string_view> path) {
    const toml::node* node = &root;
    for (const std::string_view key : path) {
        const toml::table* table = node->as_table();
        node = table == nullptr ? nullptr : table->get(key);
        if (node == nullptr) return nullptr;
    }
    return node;
}

/// The string at `path`; empty if there is none.
std::string string_at(const toml::table& root, std::initializer_list<std::string_view> path) {
    const toml::node* const node = node_at(root, path);
    const auto* text = node == nullptr ? nullptr : node->as_string();
    return text == nullptr ? std::string() : text->get();
}

/// Version 3 has a plugin for images besides that for the runtime; versions 1 and 2 name the one
/// plugin differently.
constexpr std::string_view kImagesPlugin = "io.containerd.cri.v1.images";
constexpr std::string_view kVerifierPlugin = "io.containerd.image-verifier.v1.bindir";
constexpr std::string_view kCriPlugins[] = {"io.containerd.grpc.v1.cri", "cri"};

void take(std::string& value, std::string found) {
    if (!found.empty()) value = std::move(found);
}

/// "DIRECTORY:DIRECTORY"
void take_directories(ConfiguredRuntime& runtime, std::string_view list) {
    if (list.empty()) return;
    runtime.hosts_directories.clear();
    while (!list.empty()) {
        const std::size_t end = std::min(list.find(':'), list.size());
        if (end > 0) runtime.hosts_directories.emplace_back(list.substr(0, end));
        list.remove_prefix(std::min(end + 1, list.size()));
    }
}

void take_from(const toml::table& root, ConfiguredRuntime& runtime) {
    if (std::string state = string_at(root, {"state"}); !state.empty()) runtime.state = state;
    for (const std::string_view plugin : kCriPlugins) {
        take(runtime.snapshotter,
             string_at(root, {"plugins", plugin, "containerd", "snapshotter"}));
        take(runtime.sandbox_image, string_at(root, {"plugins", plugin, "sandbox_image"}));
        take_directories(runtime, string_at(root, {"plugins", plugin, "registry", "config_path"}));
    }
    take(runtime.snapshotter, string_at(root, {"plugins", kImagesPlugin, "snapshotter"}));
    take(runtime.sandbox_image,
         string_at(root, {"plugins", kImagesPlugin, "pinned_images", "sandbox"}));
    take_directories(runtime,
                     string_at(root, {"plugins", kImagesPlugin, "registry", "config_path"}));
    take(runtime.verifier_directory, string_at(root, {"plugins", kVerifierPlugin, "bin_dir"}));
    take(runtime.verifier_time_limit,
         string_at(root, {"plugins", kVerifierPlugin, "per_verifier_timeout"}));
    const toml::node* const most = node_at(root, {"plugins", kVerifierPlugin, "max_verifiers"});
    if (most != nullptr && most->is_integer()) runtime.max_verifiers = most->as_integer()->get();
}

/// The files that match; relative patterns are relative to the importing file.
std::vector<std::filesystem::path> matching(const std::filesystem::path& importer,
                                            const std::string& pattern) {
    std::vector<std::filesystem::path> files;
    glob_t found{};
    if (glob((importer.parent_path() / pattern).c_str(), 0, nullptr, &found) == 0) {
        for (std::size_t i = 0; i < found.gl_pathc; ++i) files.emplace_back(found.gl_pathv[i]);
    }
    globfree(&found);
    return files;
}

/// The patterns of `imports`: an array of strings, or one string.
std::vector<std::string> imports_of(const toml::table& root) {
    std::vector<std::string> patterns;
    const toml::node* imports = root.get("imports");
    if (imports == nullptr) return patterns;
    if (const auto* one = imports->as_string()) patterns.push_back(one->get());
    if (const toml::array* all = imports->as_array()) {
        for (const toml::node& element : *all) {
            if (const auto* pattern = element.as_string()) patterns.push_back(pattern->get());
        }
    }
    return patterns;
}

/// An imported file overrides the file that imports it. Each file is read once, as containerd does
/// it: a pattern may match the importing file itself.
/// @throws Error, toml::parse_error for a file that cannot be read.
void read_into(const std::filesystem::path& file, ConfiguredRuntime& runtime,
               std::set<std::filesystem::path>& seen) {
    if (seen.size() == kMaxFiles || !seen.insert(file.lexically_normal()).second) return;
    const toml::table root = toml::parse(read_file(file, kMaxFileBytes), file.string());
    take_from(root, runtime);
    for (const std::string& pattern : imports_of(root)) {
        for (const std::filesystem::path& imported : matching(file, pattern)) {
            read_into(imported, runtime, seen);
        }
    }
}

}  // namespace

ConfiguredRuntime read_config_file(const std::filesystem::path& file) {
    ConfiguredRuntime runtime;
    std::set<std::filesystem::path> seen;
    try {
        read_into(file, runtime, seen);
    } catch (const Error&) {
        return runtime;
    } catch (const toml::parse_error&) {
        // containerd itself reports a malformed file, and does not start with it.
        return runtime;
    }
    return runtime;
}

}  // namespace prebake::containerd
