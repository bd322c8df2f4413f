#include "agent/report/ssm_inventory.h"

#include <sys/stat.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cmath>
#include <regex>
#include <string_view>
#include <system_error>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/report/conditions.h"
#include "agent/report/image_order.h"
#include "agent/report/node_hydration.h"

namespace prebake::report {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

/// The agent counts bytes.
constexpr std::size_t kMaxValueBytes = 4096;
/// For the texts of one image: hundreds of images must fit.
constexpr std::size_t kMaxImageTextBytes = 512;
constexpr std::size_t kMaxImages = 500;
/// For the array of images; the service accepts less data per type than the agent.
constexpr std::size_t kMaxImagesBytes = 190'000;
/// With more *.json files in the directory the agent sends none of them.
constexpr std::size_t kMaxFiles = 20;
constexpr std::size_t kMaxFileBytes = 4UL << 20;
constexpr std::string_view kAgentDirectory = "var/lib/amazon/ssm";

std::string value_of(std::string_view text, std::size_t limit = kMaxValueBytes) {
    return shorten(printable(text), limit);
}

std::string yes_or_no(bool value) {
    return value ? "true" : "false";
}

std::string ratio(double value) {
    // Only significant digits: each change is sent to the service.
    return std::to_string(value).substr(0, 5);
}

json::object image_entry(const v1::ImageState& image) {
    std::string problem = image.message();
    if (!image.next_step().empty()) problem += "; " + image.next_step();
    return {{"Name", value_of(image.name(), kMaxImageTextBytes)},
            {"Namespace", value_of(image.namespace_(), kMaxImageTextBytes)},
            {"Platform", value_of(image.platform(), kMaxImageTextBytes)},
            {"Digest", value_of(image.digest(), kMaxImageTextBytes)},
            {"State", value_of(image.state(), kMaxImageTextBytes)},
            {"Pinned", yes_or_no(image.pinned())},
            {"Starts", std::to_string(image.starts())},
            {"Bytes", std::to_string(image.bytes())},
            {"Problem", value_of(has_problem(image) ? problem : "", kMaxImageTextBytes)}};
}

json::array image_entries(const v1::NodeStatus& status) {
    std::vector<const v1::ImageState*> images;
    for (const v1::ImageState& image : status.images()) images.push_back(&image);
    std::stable_sort(images.begin(), images.end(), [](const auto* left, const auto* right) {
        return comes_first(*left, *right);
    });
    json::array entries;
    std::size_t bytes = 0;
    for (const v1::ImageState* image : images) {
        json::object entry = image_entry(*image);
        bytes += json::serialize(entry).size() + 1;
        if (entries.size() == kMaxImages || bytes > kMaxImagesBytes) break;
        entries.push_back(std::move(entry));
    }
    return entries;
}

/// Only of what is complete: each change is sent to the service.
std::string hydration_seconds(const v1::NodeHydration& hydration) {
    if (hydration.state() != kHydratedState) return {};
    return std::to_string(std::llround(hydration.seconds()));
}

json::object node_entry(const NodeView& view, std::size_t images_listed) {
    const v1::NodeStatus& status = view.status;
    std::string not_true;
    std::string reasons;
    for (const v1::Condition& condition : status.conditions()) {
        if (is_met(condition)) continue;
        not_true += (not_true.empty() ? "" : ",") + condition.type();
        reasons += (reasons.empty() ? "" : "; ") + condition.type() + ": " + condition.message();
    }
    const v1::ImageCounts& counts = status.counts();
    const v1::Totals& totals = status.since_claim();
    const v1::NodeHydration& hydration = status.hydration();
    return {{"Verdict", value_of(status.verdict())},
            {"Ready", yes_or_no(status.ready())},
            {"Message", value_of(status.message())},
            {"NotTrue", value_of(not_true)},
            {"Reasons", value_of(reasons)},
            {"ImagesBaked", std::to_string(counts.baked())},
            {"ImagesUsable", std::to_string(counts.usable())},
            {"ImagesUnusable", std::to_string(counts.unusable())},
            {"ImagesOtherPlatform", std::to_string(counts.other_platform())},
            {"ImagesPinned", std::to_string(counts.pinned())},
            {"ImagesRepaired", std::to_string(counts.repaired())},
            {"ImagesMoved", std::to_string(counts.moved())},
            {"ImagesRemoved", std::to_string(counts.removed())},
            {"ImagesNeverUsed", std::to_string(counts.never_used())},
            {"ImagesTotal",
             std::to_string(std::max<std::size_t>(status.images_total(),
                                                  static_cast<std::size_t>(status.images_size())))},
            {"ImagesListed", std::to_string(images_listed)},
            {"BytesBaked", std::to_string(counts.baked_bytes())},
            {"BytesNeverUsed", std::to_string(counts.never_used_bytes())},
            {"Starts", std::to_string(totals.starts())},
            {"Hits", std::to_string(totals.hits())},
            {"Partials", std::to_string(totals.partials())},
            {"Misses", std::to_string(totals.misses())},
            {"HitRatio", ratio(totals.hit_ratio())},
            {"BytesServed", std::to_string(totals.bytes_served())},
            {"BytesPulled", std::to_string(totals.bytes_pulled())},
            {"Hydration", value_of(hydration.state())},
            {"HydrationBytes", std::to_string(hydration.total_bytes())},
            {"HydrationSeconds", hydration_seconds(hydration)},
            {"Snapshotter", value_of(status.snapshotter())},
            {"ContainerdVersion", value_of(status.containerd_version())},
            {"SandboxImage", value_of(status.sandbox_image())},
            {"Claim", value_of(status.claim())},
            {"PrebakeVersion", value_of(status.prebake_version())}};
}

std::string document(std::string_view type, json::value content) {
    const json::object whole{
        {"SchemaVersion", "1.0"}, {"TypeName", type}, {"Content", std::move(content)}};
    return json::serialize(whole) + "\n";
}

bool is_there(const fs::path& path) {
    std::error_code error;
    return fs::exists(path, error) && !error;
}

bool has_agent(const fs::path& root) {
    return is_there(root / kAgentDirectory) || is_there(root / "usr/bin/amazon-ssm-agent") ||
           is_there(root / "snap/amazon-ssm-agent");
}

/// Creates missing parts of the directory, only accessible to root, like the agent.
/// @throws Error permission_denied if a part is a symbolic link; io.
fs::path inventory_directory(const fs::path& root, const std::string& instance_id) {
    // The agent's directory itself may be a link to another disk. Links inside it are not followed.
    fs::path directory = root / kAgentDirectory;
    std::error_code error;
    fs::create_directories(directory.parent_path(), error);
    for (const char* part : {"", instance_id.c_str(), "inventory", "custom"}) {
        const bool is_inside = *part != '\0';
        if (is_inside) directory /= part;
        struct stat found {};
        if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
            throw errno_error("cannot create directory", directory);
        }
        const int failed =
            is_inside ? ::lstat(directory.c_str(), &found) : ::stat(directory.c_str(), &found);
        if (failed != 0) throw errno_error("cannot stat", directory);
        if (!S_ISDIR(found.st_mode)) {
            throw Error(Errc::permission_denied,
                        directory.string() + " is not a directory: nothing is written through it",
                        "remove it, and restart amazon-ssm-agent");
        }
    }
    return directory;
}

std::size_t count_others(const fs::path& directory, const std::vector<InventoryFile>& files) {
    std::size_t others = 0;
    std::error_code error;
    for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
         entry.increment(error)) {
        const fs::path name = entry->path().filename();
        const bool is_ours =
            std::any_of(files.begin(), files.end(),
                        [&](const InventoryFile& file) { return name == file.name; });
        if (name.extension() == ".json" && !is_ours) ++others;
    }
    if (error) {
        throw Error(Errc::io, "cannot list " + directory.string() + ": " + error.message());
    }
    return others;
}

bool is_up_to_date(const fs::path& path, const std::string& contents) {
    try {
        return read_file(path, kMaxFileBytes) == contents;
    } catch (const Error&) {
        return false;  // it will be replaced
    }
}

}  // namespace

std::vector<InventoryFile> inventory_of(const NodeView& view) {
    json::array images = image_entries(view.status);
    json::object whole = node_entry(view, images.size());
    return {{"prebake-node.json", document("Custom:PrebakeNode", std::move(whole))},
            {"prebake-image.json", document("Custom:PrebakeImage", std::move(images))}};
}

std::string write_inventory(const fs::path& root, const std::string& instance_id,
                            const std::vector<InventoryFile>& files) {
    static const std::regex kInstanceId("(i|mi)-[0-9a-f]{8,17}");
    if (!std::regex_match(instance_id, kInstanceId) || !has_agent(root)) return {};
    const fs::path directory = inventory_directory(root, instance_id);
    const std::size_t others = count_others(directory, files);
    if (others + files.size() > kMaxFiles) {
        return directory.string() + " has " + std::to_string(others) +
               " inventory files of other programs: with more than " + std::to_string(kMaxFiles) +
               " the SSM agent sends none, so prebake adds none; remove some";
    }
    for (const InventoryFile& file : files) {
        // The temporary name does not end in .json, so the agent never reads an incomplete file.
        const fs::path path = directory / file.name;
        if (!is_up_to_date(path, file.json)) write_file_durably(path, file.json, 0600);
    }
    return {};
}

}  // namespace prebake::report
