#include "agent/cli/containerd_config.h"

#include <glob.h>

#include <initializer_list>
#include <set>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/cli/toml.h"

namespace prebake::cli {
namespace {

constexpr std::size_t kMaxFileBytes = 1UL << 20;
/// Imports may import.
constexpr std::size_t kMaxFiles = 100;

/// The string at `path`; empty if there is none.
std::string string_at(const toml::table& root, std::initializer_list<std::string_view> path) {
    const toml::node* node = &root;
    for (const std::string_view key : path) {
        const toml::table* table = node->as_table();
        node = table == nullptr ? nullptr : table->get(key);
        if (node == nullptr) return {};
    }
    const auto* text = node->as_string();
    return text == nullptr ? std::string() : text->get();
}

/// Version 3 has the images apart from the runtime; versions 1 and 2 differ in the plugin's name.
constexpr std::string_view kImagesPlugin = "io.containerd.cri.v1.images";
constexpr std::string_view kCriPlugins[] = {"io.containerd.grpc.v1.cri", "cri"};

void take(std::string& value, std::string found) {
    if (!found.empty()) value = std::move(found);
}

void take_from(const toml::table& root, node::ConfiguredRuntime& runtime) {
    for (const std::string_view plugin : kCriPlugins) {
        take(runtime.snapshotter,
             string_at(root, {"plugins", plugin, "containerd", "snapshotter"}));
        take(runtime.sandbox_image, string_at(root, {"plugins", plugin, "sandbox_image"}));
    }
    take(runtime.snapshotter, string_at(root, {"plugins", kImagesPlugin, "snapshotter"}));
    take(runtime.sandbox_image,
         string_at(root, {"plugins", kImagesPlugin, "pinned_images", "sandbox"}));
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

/// What is imported overrides what imports it. Each file counts once, as for containerd: a pattern
/// may match the file that it stands in.
void read_into(const std::filesystem::path& file, node::ConfiguredRuntime& runtime,
               std::set<std::filesystem::path>& seen) {
    if (seen.size() == kMaxFiles || !seen.insert(file.lexically_normal()).second) return;
    const toml::table root = parse_toml(read_file(file, kMaxFileBytes), file.string());
    take_from(root, runtime);
    const toml::node* imports = root.get("imports");
    if (imports == nullptr) return;
    for (const std::string& pattern : strings_value(*imports, "imports")) {
        for (const std::filesystem::path& imported : matching(file, pattern)) {
            read_into(imported, runtime, seen);
        }
    }
}

}  // namespace

node::ConfiguredRuntime read_containerd_config(const std::filesystem::path& file) {
    node::ConfiguredRuntime runtime;
    try {
        std::set<std::filesystem::path> seen;
        read_into(file, runtime, seen);
    } catch (const Error&) {
        // containerd runs by it, or does not run: either way it is not for us to complain of.
        return runtime;
    }
    return runtime;
}

}  // namespace prebake::cli
