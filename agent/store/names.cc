#include "agent/store/names.h"

#include <algorithm>

namespace prebake::store {
namespace {

constexpr std::string_view kHub = "docker.io/";
constexpr std::string_view kHubLibrary = "docker.io/library/";

void add_once(std::vector<std::string>& names, std::string name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(std::move(name));
    }
}

std::string digest_name(const oci::Reference& reference, const oci::Digest& target) {
    return reference.name() + "@" + target.str();
}

}  // namespace

std::vector<std::string> names_in(std::string_view ns,
                                  const std::vector<oci::Reference>& references,
                                  const oci::Digest& target, const oci::Digest& config) {
    std::vector<std::string> names;
    const bool is_cri = ns == kCriNamespace;
    if (is_cri) add_once(names, config.str());
    for (const oci::Reference& reference : references) {
        const auto tag_name = reference.tag_name();
        if (is_cri || !tag_name) add_once(names, digest_name(reference, target));
        if (tag_name) add_once(names, *tag_name);
    }
    return names;
}

bool is_image_id(std::string_view name) {
    return oci::Digest::try_parse(name).has_value();
}

bool is_name_by_digest(std::string_view name) {
    return is_image_id(name) || name.find('@') != std::string_view::npos;
}

Labels name_labels(std::string_view ns, Pin pin) {
    if (ns != kCriNamespace) return {};
    return {{std::string(kManagedLabel), "managed"},
            {std::string(kPinnedLabel), pin == Pin::yes ? "pinned" : ""}};
}

std::vector<std::string> pod_spellings(const std::vector<oci::Reference>& references,
                                       const oci::Digest& target, const oci::Digest& config,
                                       const std::set<std::string>& except) {
    std::vector<std::string> spellings;
    for (std::string& name : names_in(kCriNamespace, references, target, config)) {
        if (!except.contains(name)) spellings.push_back(std::move(name));
    }
    for (const oci::Reference& reference : references) {
        const auto tag_name = reference.tag_name();
        // CRI looks up such a spelling by its digest only.
        if (tag_name && !except.contains(digest_name(reference, target))) {
            add_once(spellings, *tag_name + "@" + target.str());
        }
    }
    const std::vector<std::string> full = spellings;
    for (const std::string& name : full) {
        if (name.starts_with(kHubLibrary)) add_once(spellings, name.substr(kHubLibrary.size()));
        if (name.starts_with(kHub)) add_once(spellings, name.substr(kHub.size()));
    }
    return spellings;
}

}  // namespace prebake::store
