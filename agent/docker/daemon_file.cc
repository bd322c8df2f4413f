#include "agent/docker/daemon_file.h"

#include <boost/json.hpp>

#include "agent/base/error.h"
#include "agent/base/file.h"

namespace prebake::docker {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxFileBytes = 1UL << 20;

std::string text_in(const json::object& object, std::string_view key) {
    const json::value* const value = object.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->as_string()) : "";
}

}  // namespace

DaemonFile read_daemon_file(const std::filesystem::path& path) {
    DaemonFile file{.path = path};
    std::string text;
    try {
        text = read_file(path, kMaxFileBytes);
    } catch (const Error&) {
        return file;
    }
    boost::system::error_code error;
    const json::value whole = json::parse(text, error);
    if (error || !whole.is_object()) return file;
    file.storage_driver = text_in(whole.as_object(), "storage-driver");
    file.userns_remap = text_in(whole.as_object(), "userns-remap");
    const json::value* const features = whole.as_object().if_contains("features");
    if (features == nullptr || !features->is_object()) return file;
    const auto feature = [&](std::string_view key) -> std::optional<bool> {
        const json::value* const value = features->as_object().if_contains(key);
        if (value == nullptr || !value->is_bool()) return std::nullopt;
        return value->as_bool();
    };
    file.containerd_snapshotter = feature("containerd-snapshotter");
    file.migrates = feature("containerd-migration").value_or(false);
    return file;
}

}  // namespace prebake::docker
