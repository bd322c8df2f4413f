#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <system_error>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/kubelet/advice.h"

namespace prebake::kubelet {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

/// A record has at most a hundred credentials of each kind.
constexpr std::size_t kMaxFileBytes = 1UL << 20;
/// A node has far fewer images.
constexpr std::size_t kMaxFiles = 5000;
constexpr std::string_view kApiGroup = "kubelet.config.k8s.io/";

const json::value* member(const json::value& of, std::string_view key) {
    return of.is_object() ? of.get_object().if_contains(key) : nullptr;
}

std::string text_at(const json::value& of, std::string_view key) {
    const json::value* value = member(of, key);
    return value != nullptr && value->is_string() ? std::string(value->get_string().c_str())
                                                  : std::string();
}

bool has_entries(const json::value& of, std::string_view key) {
    const json::value* list = member(of, key);
    return list != nullptr && list->is_array() && !list->get_array().empty();
}

/// Like the kubelet's MustAttemptImagePull(). It does not matter whose credentials they are.
PodAccess access_of(const json::value& credentials) {
    const json::value* every_pod = member(credentials, "nodePodsAccessible");
    if (every_pod != nullptr && every_pod->is_bool() && every_pod->get_bool()) {
        return PodAccess::every_pod;
    }
    return has_entries(credentials, "kubernetesSecrets") ||
                   has_entries(credentials, "kubernetesServiceAccounts")
               ? PodAccess::with_credentials
               : PodAccess::no_pod;
}

/// Nothing if the document has another kind.
std::optional<json::value> parse(const std::string& text, std::string_view kind) {
    boost::system::error_code error;
    json::value whole = json::parse(text, error);
    if (error || text_at(whole, "kind") != kind ||
        !text_at(whole, "apiVersion").starts_with(kApiGroup)) {
        return std::nullopt;
    }
    return whole;
}

std::optional<PullRecord> record_of(const fs::path& file, const json::value& whole) {
    PullRecord record{.file = file, .image_id = text_at(whole, "imageRef"), .known_as = {}};
    if (record.image_id.empty()) return std::nullopt;
    const json::value* mapping = member(whole, "credentialMapping");
    if (mapping != nullptr && mapping->is_object()) {
        for (const auto& entry : mapping->get_object()) {
            record.known_as.emplace(entry.key(), access_of(entry.value()));
        }
    }
    return record;
}

std::optional<PullIntent> intent_of(const fs::path& file, const json::value& whole) {
    PullIntent intent{.file = file, .image = text_at(whole, "image")};
    if (intent.image.empty()) return std::nullopt;
    return intent;
}

std::vector<fs::path> files_in(const fs::path& directory, std::vector<std::string>& warnings) {
    std::vector<fs::path> files;
    std::error_code error;
    for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
         entry.increment(error)) {
        // Like the kubelet: other files are not its own, or are incomplete.
        const std::string name = entry->path().filename().string();
        if (!name.starts_with("sha256-") || name.ends_with(".tmp")) continue;
        if (files.size() == kMaxFiles) {
            warnings.push_back(printable(directory.string()) + " has more than " +
                               std::to_string(kMaxFiles) + " records: the rest was not read");
            break;
        }
        files.push_back(entry->path());
    }
    if (error && error != std::errc::no_such_file_or_directory) {
        warnings.push_back("cannot list " + printable(directory.string()) + ": " + error.message());
    }
    std::sort(files.begin(), files.end());
    return files;
}

template <typename Record>
std::vector<Record> read_all(const fs::path& directory, const std::string& kind,
                             std::optional<Record> (*record_of)(const fs::path&,
                                                                const json::value&),
                             std::vector<std::string>& warnings) {
    std::vector<Record> records;
    for (const fs::path& file : files_in(directory, warnings)) {
        try {
            std::error_code ignored;
            const fs::file_status status = fs::symlink_status(file, ignored);
            if (fs::exists(status) && !fs::is_regular_file(status)) {
                throw Error(Errc::corrupt, file.string() + " is not a regular file");
            }
            const auto whole = parse(read_file(file, kMaxFileBytes), kind);
            auto record = whole ? record_of(file, *whole) : std::nullopt;
            if (!record) throw Error(Errc::corrupt, file.string() + " is not an " + kind);
            records.push_back(std::move(*record));
        } catch (const Error& problem) {
            // A pull may have ended after the directory was listed.
            if (problem.code() == Errc::not_found) continue;
            warnings.push_back(printable(problem.message()));
        }
    }
    return records;
}

}  // namespace

PullRecords read_pull_records(const fs::path& kubelet_root, std::vector<std::string>& warnings) {
    const fs::path directory = kubelet_root / "image_manager";
    return {
        .pulled = read_all(directory / "pulled", "ImagePulledRecord", record_of, warnings),
        .pulling = read_all(directory / "pulling", "ImagePullIntent", intent_of, warnings),
    };
}

}  // namespace prebake::kubelet
