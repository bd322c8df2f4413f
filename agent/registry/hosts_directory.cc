#include "agent/registry/hosts_directory.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file_trust.h"
#include "agent/registry/hosts_file.h"

namespace prebake::registry {
namespace {

constexpr const char* kFileName = "hosts.toml";
constexpr const char* kForAll = "_default";
constexpr std::size_t kMaxHostsFileBytes = 1UL << 20;

bool is_there(const std::filesystem::path& path) {
    std::error_code failure;
    const auto status = std::filesystem::status(path, failure);
    if (std::filesystem::exists(status)) return true;
    if (status.type() == std::filesystem::file_type::not_found) return false;
    throw Error(Errc::io, "cannot look for " + path.string() + ": " + failure.message());
}

/// The names that the directory of a registry may have.
std::vector<std::string> names_of(const std::string& registry) {
    std::vector<std::string> names{registry, kForAll};
    const std::size_t colon = registry.rfind(':');
    if (colon != std::string::npos) {
        names.insert(names.begin(),
                     registry.substr(0, colon) + "_" + registry.substr(colon + 1) + "_");
    }
    return names;
}

std::vector<std::filesystem::path> sorted_files(const std::filesystem::path& directory) {
    std::vector<std::filesystem::path> files;
    std::error_code ignored;  // a directory that is gone by now has no files
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        std::error_code unknown;
        if (!entry.is_directory(unknown)) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
}

/// Docker's layout. A client certificate without a file for its key has the key inside.
http::TlsSettings certificates_in(const std::filesystem::path& directory) {
    http::TlsSettings tls;
    for (const std::filesystem::path& file : sorted_files(directory)) {
        if (file.extension() == ".crt") tls.ca_files.push_back(file.string());
        if (file.extension() != ".cert") continue;
        std::filesystem::path key = file;
        key.replace_extension(".key");
        if (!is_there(key)) key = file;
        tls.client_certificates.push_back({.certificate = file.string(), .key = key.string()});
    }
    return tls;
}

/// Empty if there is no such file.
std::string hosts_file(const std::filesystem::path& file) {
    try {
        return read_trusted_file(file, kMaxHostsFileBytes, WhoseFile::invokers);
    } catch (const Error& error) {
        if (error.code() == Errc::not_found) return {};
        throw;
    }
}

/// The registry itself, whose hosts.toml would be in `directory`.
Endpoint without_file(std::string_view registry, const std::filesystem::path& directory) {
    Endpoint itself = endpoints_of(registry).front();
    // A host in the file for all registries would be a mirror of all of them.
    const bool is_for_all = directory.filename() == kForAll;
    itself.tls.place = {.hosts_file = (directory / kFileName).string(),
                        .host = is_for_all ? "" : itself.base_url};
    return itself;
}

}  // namespace

std::filesystem::path find_hosts_directory(const std::vector<std::filesystem::path>& roots,
                                           std::string_view registry) {
    for (const std::filesystem::path& root : roots) {
        for (const std::string& name : names_of(std::string(registry))) {
            if (is_there(root / name)) return root / name;
        }
    }
    return {};
}

std::vector<Endpoint> read_hosts_directory(const std::filesystem::path& directory,
                                           std::string_view registry) {
    const std::filesystem::path file = directory / kFileName;
    const std::string text = hosts_file(file);
    if (!text.empty()) return parse_hosts_file(text, file, registry);
    Endpoint itself = without_file(registry, directory);
    http::TlsSettings found = certificates_in(directory);
    itself.tls.ca_files = std::move(found.ca_files);
    itself.tls.client_certificates = std::move(found.client_certificates);
    return {itself};
}

EndpointsOf endpoints_below(std::vector<std::filesystem::path> roots) {
    return [roots = std::move(roots)](std::string_view registry) {
        const std::filesystem::path directory = find_hosts_directory(roots, registry);
        if (!directory.empty()) return read_hosts_directory(directory, registry);
        if (roots.empty()) return endpoints_of(registry);
        return std::vector{without_file(registry, roots.front() / registry)};
    };
}

}  // namespace prebake::registry
