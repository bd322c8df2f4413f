#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <system_error>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/node/kubelet_advice.h"

namespace prebake::node {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

/// One record has a hundred credentials of each kind at most.
constexpr std::size_t kMaxFileBytes = 1UL << 20;
/// A node holds far fewer images.
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

/// As the kubelet's MustAttemptImagePull() has it; whose credentials they are is nobody's business.
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

/// Nothing if it is none.
std::optional<PullRecord> parse_record(const fs::path& file, const std::string& text) {
    boost::system::error_code error;
    const json::value whole = json::parse(text, error);
    if (error || text_at(whole, "kind") != "ImagePulledRecord" ||
        !text_at(whole, "apiVersion").starts_with(kApiGroup)) {
        return std::nullopt;
    }
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

}  // namespace

std::vector<PullRecord> read_pull_records(const fs::path& kubelet_root,
                                          std::vector<std::string>& warnings) {
    const fs::path directory = kubelet_root / "image_manager" / "pulled";
    std::vector<fs::path> files;
    std::error_code error;
    for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
         entry.increment(error)) {
        // The kubelet writes them under a temporary name first.
        if (!entry->path().filename().string().starts_with("sha256-")) continue;
        if (files.size() == kMaxFiles) {
            warnings.push_back(printable(directory.string()) + " holds more than " +
                               std::to_string(kMaxFiles) + " records: the rest was not read");
            break;
        }
        files.push_back(entry->path());
    }
    if (error && error != std::errc::no_such_file_or_directory) {
        warnings.push_back("cannot list " + printable(directory.string()) + ": " + error.message());
    }
    std::sort(files.begin(), files.end());

    std::vector<PullRecord> records;
    for (const fs::path& file : files) {
        try {
            std::error_code is_odd;
            if (!fs::is_regular_file(fs::symlink_status(file, is_odd))) {
                throw Error(Errc::corrupt, file.string() + " is not a regular file");
            }
            std::optional<PullRecord> record = parse_record(file, read_file(file, kMaxFileBytes));
            if (!record) throw Error(Errc::corrupt, file.string() + " is not an ImagePulledRecord");
            records.push_back(std::move(*record));
        } catch (const Error& problem) {
            warnings.push_back(printable(problem.message()));
        }
    }
    return records;
}

}  // namespace prebake::node
