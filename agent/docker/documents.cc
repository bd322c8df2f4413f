#include "agent/docker/documents.h"

#include <algorithm>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/oci/json_field.h"

namespace prebake::docker {
namespace {

using oci::JsonDocument;
using oci::JsonField;
using std::chrono::system_clock;

constexpr std::size_t kMaxStatusRows = 1000;
constexpr std::size_t kMaxContainers = 20'000;
constexpr std::size_t kMaxAttributes = 10'000;

/// What `read` makes of the document's root. Reasons of the reader are about images; these are
/// answers of dockerd.
template <typename Read>
auto read_document(std::string_view json, const char* what, Read read) {
    try {
        const JsonDocument document(json, kMaxDocumentBytes);
        return read(document.root());
    } catch (const Error& error) {
        throw Error(error.code(),
                    std::string("dockerd's ") + what + " cannot be read: " + error.message(),
                    "check that dockerd listens there, and not another program");
    }
}

std::uint64_t size_in(const JsonField& field) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(field.integer(), 0));
}

/// "name=rootless" and "rootless"; Docker up to 1.12 wrote only the latter.
bool has_option(const std::vector<std::string>& options, std::string_view name) {
    return std::ranges::any_of(options, [&](std::string_view option) {
        option = option.substr(0, option.find(','));
        return option == name || option == "name=" + std::string(name);
    });
}

bool keeps_images_in_containerd(const JsonField& info) {
    for (const JsonField& row : info.member("DriverStatus").elements(kMaxStatusRows)) {
        const std::vector<std::string> cells = row.texts();
        if (cells.size() == 2 && cells[0] == "driver-type" &&
            cells[1].starts_with("io.containerd.snapshotter.")) {
            return true;
        }
    }
    return false;
}

system_clock::time_point time_after(std::chrono::nanoseconds since_1970) {
    return system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(since_1970));
}

EngineContainer container_in(const JsonField& field) {
    const std::string state = lower_case(field.member("State").text());
    const std::chrono::seconds created(field.member("Created").integer());
    return {.id = field.member("Id").text(),
            .image = field.member("Image").text(),
            .image_id = field.member("ImageID").text(),
            .has_started = !state.empty() && state != "created",
            .created_at = time_after(created)};
}

}  // namespace

EngineVersion parse_version(std::string_view json) {
    return read_document(json, "version", [](const JsonField& root) {
        return EngineVersion{
            .version = root.member("Version").text(),
            .oldest =
                parse_api_version(root.member("MinAPIVersion").text()).value_or(ApiVersion())};
    });
}

EngineInfo parse_info(std::string_view json) {
    return read_document(json, "info", [](const JsonField& root) {
        EngineInfo info;
        info.version = root.member("ServerVersion").text();
        info.id = root.member("ID").text();
        info.platform = oci::platform_of_machine(root.member("Architecture").text());
        const std::string os = root.member("OSType").text();
        if (!os.empty()) info.platform.os = os;
        info.driver = root.member("Driver").text();
        info.uses_containerd_store = keeps_images_in_containerd(root);
        info.data_root = root.member("DockerRootDir").text();
        const JsonField containerd = root.member("Containerd");
        info.containerd_address = containerd.member("Address").text();
        const std::string own = containerd.member("Namespaces").member("Containers").text();
        if (!own.empty()) info.containerd_namespace = own;
        const std::vector<std::string> options = root.member("SecurityOptions").texts();
        info.has_user_namespaces = has_option(options, "userns");
        info.is_rootless = has_option(options, "rootless");
        return info;
    });
}

namespace {

/// overlay2 lists them as overlayfs does: the upper one, then the ones below, the nearest first.
std::vector<std::string> layer_directories_in(const JsonField& graph_driver, std::size_t layers) {
    const JsonField data = graph_driver.member("Data");
    std::vector<std::string> directories{data.member("UpperDir").text()};
    const std::string below = data.member("LowerDir").text();
    for (std::string_view rest = below; !rest.empty();) {
        const std::size_t end = std::min(rest.find(':'), rest.size());
        directories.emplace_back(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    std::ranges::reverse(directories);
    if (directories.size() != layers || directories.back().empty()) return {};
    return directories;
}

}  // namespace

EngineImage parse_image(std::string_view json) {
    return read_document(json, "description of an image", [](const JsonField& root) {
        EngineImage image;
        image.id = root.member("Id").text();
        image.repo_tags = root.member("RepoTags").texts();
        image.repo_digests = root.member("RepoDigests").texts();
        image.platform =
            oci::Platform::normalised(root.member("Os").text(), root.member("Architecture").text(),
                                      root.member("Variant").text());
        image.layers = root.member("RootFS").member("Layers").texts();
        image.layer_directories =
            layer_directories_in(root.member("GraphDriver"), image.layers.size());
        image.bytes = size_in(root.member("Size"));
        return image;
    });
}

std::vector<EngineContainer> parse_containers(std::string_view json) {
    // The reader is for objects.
    const std::string object = "{\"list\":" + std::string(json) + "}";
    return read_document(object, "list of containers", [](const JsonField& root) {
        std::vector<EngineContainer> containers;
        for (const JsonField& each : root.member("list").elements(kMaxContainers)) {
            containers.push_back(container_in(each));
        }
        return containers;
    });
}

EngineEvent parse_event(std::string_view line) {
    return read_document(line, "event", [](const JsonField& root) {
        EngineEvent event;
        event.type = root.member("Type").text();
        event.action = root.member("Action").text();
        const JsonField actor = root.member("Actor");
        event.id = actor.member("ID").text();
        for (const JsonField& each : actor.member("Attributes").members(kMaxAttributes)) {
            // A label of the container may be named "Image".
            if (each.name() == "image") event.image = each.text();
        }
        const std::chrono::nanoseconds at(root.member("timeNano").integer());
        event.at = time_after(at);
        return event;
    });
}

std::string message_in(std::string_view body) {
    try {
        const JsonDocument document(body, kMaxDocumentBytes);
        std::string message = document.root().member("message").text();
        if (!message.empty()) return message;
    } catch (const Error&) {
        // It is a text.
    }
    return std::string(trimmed(body));
}

StreamLine parse_stream_line(std::string_view text) {
    return read_document(text, "report", [](const JsonField& root) {
        StreamLine line;
        line.id = root.member("id").text();
        line.status = root.member("status").text();
        line.text = root.member("stream").text();
        line.error = root.member("errorDetail").member("message").text();
        if (line.error.empty()) line.error = root.member("error").text();
        const JsonField detail = root.member("progressDetail");
        line.current = size_in(detail.member("current"));
        line.total = size_in(detail.member("total"));
        line.units = detail.member("units").text();
        return line;
    });
}

}  // namespace prebake::docker
