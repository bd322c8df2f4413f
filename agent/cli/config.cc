#include "agent/cli/config.h"

#include <algorithm>
#include <functional>
#include <map>
#include <system_error>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/cli/format.h"
#include "agent/cli/toml.h"
#include "agent/containerd/connection.h"

namespace prebake::cli {
namespace {

constexpr std::size_t kMaxConfigFileBytes = 1UL << 20;

/// A value in its file: what a key's reader gets.
struct Value {
    const toml::node& node;
    std::string key;

    std::string text() const { return string_value(node, key); }
    std::vector<std::string> texts() const { return strings_value(node, key); }
    std::vector<std::string> namespaces() const {
        std::vector<std::string> names = texts();
        if (names.empty()) throw Error(Errc::usage, key + " must name at least one namespace");
        for (const std::string& name : names) containerd::validate_namespace(name);
        return names;
    }
    std::uint64_t count() const {
        const auto* number = node.as_integer();
        if (number != nullptr && number->get() >= 1 && number->get() <= 1000) {
            return static_cast<std::uint64_t>(number->get());
        }
        throw Error(Errc::usage, key + " must be a number from 1 to 1000");
    }
    std::uint64_t bytes() const {
        return in_context(key, [&] { return parse_bytes(text()); });
    }
    std::chrono::milliseconds duration() const {
        return in_context(key, [&] { return parse_duration(text()); });
    }
};

using Reader = std::function<void(Config&, const Value&)>;
using Table = std::map<std::string, Reader>;

/// Every table and key that there is.
const std::map<std::string, Table>& schema() {
    static const std::map<std::string, Table> kSchema{
        {"containerd",
         {{"address", [](Config& config, const Value& value) { config.address = value.text(); }},
          {"namespaces",
           [](Config& config, const Value& value) { config.namespaces = value.namespaces(); }},
          {"snapshotter",
           [](Config& config, const Value& value) { config.snapshotter = value.text(); }}}},
        {"bake",
         {{"image_lists",
           [](Config& config, const Value& value) { config.image_lists = value.text(); }},
          {"memory", [](Config& config, const Value& value) { config.memory = value.bytes(); }},
          {"parallel_images",
           [](Config& config, const Value& value) { config.parallel_images = value.count(); }},
          {"parallel_downloads",
           [](Config& config, const Value& value) { config.parallel_downloads = value.count(); }}}},
        {"registry",
         {{"docker_config",
           [](Config& config, const Value& value) { config.docker_config = value.text(); }},
          {"connect_timeout",
           [](Config& config, const Value& value) { config.connect_timeout = value.duration(); }},
          {"stall_timeout",
           [](Config& config, const Value& value) { config.stall_timeout = value.duration(); }},
          {"attempts",
           [](Config& config, const Value& value) { config.attempts = value.count(); }}}}};
    return kSchema;
}

template <typename Map>
std::vector<std::string> keys_of(const Map& map) {
    std::vector<std::string> keys;
    keys.reserve(map.size());
    for (const auto& [key, unused] : map) keys.push_back(key);
    return keys;
}

void read_into(Config& config, const std::filesystem::path& path) {
    const std::string file = path.string();
    const toml::table root = parse_toml(read_file(path, kMaxConfigFileBytes), file);
    for (const auto& [table_name, node] : root) {
        const auto table = schema().find(std::string(table_name.str()));
        if (table == schema().end()) {
            throw unknown_key(place_of(node, file), table_name.str(), keys_of(schema()));
        }
        const toml::table* values = node.as_table();
        if (values == nullptr) {
            throw Error(
                Errc::usage,
                place_of(node, file) + ": " + std::string(table_name.str()) + " must be a table",
                "write [" + std::string(table_name.str()) + "] and its keys below");
        }
        for (const auto& [key, value] : *values) {
            const auto reader = table->second.find(std::string(key.str()));
            if (reader == table->second.end()) {
                throw unknown_key(place_of(value, file), key.str(), keys_of(table->second));
            }
            const Value read{value, std::string(key.str())};
            in_context(place_of(value, file), [&] { reader->second(config, read); });
        }
    }
}

std::vector<std::filesystem::path> drop_ins(const std::filesystem::path& directory) {
    std::vector<std::filesystem::path> files;
    std::error_code ignored;  // no directory, no drop-ins
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        if (entry.path().extension() == ".toml") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace

Config read_config(const std::optional<std::filesystem::path>& file) {
    Config config;
    try {
        if (file) {
            read_into(config, *file);
            return config;
        }
        const std::filesystem::path usual = kDefaultConfigFile;
        if (std::filesystem::exists(usual)) read_into(config, usual);
        for (const std::filesystem::path& drop_in : drop_ins(usual.parent_path() / "conf.d")) {
            read_into(config, drop_in);
        }
    } catch (const Error& error) {
        // Whatever is wrong with a configuration file, it is for its author to mend.
        throw Error(Errc::usage, "configuration: " + error.message(), error.next_step());
    }
    return config;
}

}  // namespace prebake::cli
