#include "agent/store/labels.h"

#include <set>

namespace prebake::store {
namespace {

constexpr std::size_t kMaxLabelBytes = 4096;
constexpr std::string_view kContentPrefix = "containerd.io/gc.ref.content.";

/// The part of the label key after "gc.ref.content.". Children are numbered from 0 in each kind.
std::string_view kind_prefix(oci::MediaKind kind) {
    switch (kind) {
        case oci::MediaKind::manifest:
            return "m.";
        case oci::MediaKind::layer_tar:
        case oci::MediaKind::layer_gzip:
        case oci::MediaKind::layer_zstd:
        case oci::MediaKind::foreign_layer:
            return "l.";
        case oci::MediaKind::config:
        case oci::MediaKind::index:
        case oci::MediaKind::schema1:
        case oci::MediaKind::other:
            return "";
    }
    return "";
}

class ChildLabels {
  public:
    void add(const oci::Descriptor& child) {
        const oci::MediaKind kind = oci::media_kind(child.media_type);
        const bool is_config = kind == oci::MediaKind::config;
        const std::string_view prefix = is_config ? "config" : kind_prefix(kind);
        const std::size_t number = counts_[prefix]++;
        std::string key = std::string(kContentPrefix) + std::string(prefix);
        // The first config is plain "config"; everything else is numbered.
        if (!is_config || number > 0) key += std::to_string(number);
        labels_.emplace(std::move(key), child.digest.str());
    }
    Labels take() { return std::move(labels_); }

  private:
    std::map<std::string_view, std::size_t> counts_;
    Labels labels_;
};

std::string value_of(const Labels& labels, const std::string& key) {
    const auto found = labels.find(key);
    return found == labels.end() ? std::string() : found->second;
}

}  // namespace

Labels gc_labels(const oci::Index& index) {
    ChildLabels labels;
    for (const oci::Descriptor& child : index.manifests) labels.add(child);
    return labels.take();
}

Labels gc_labels(const oci::Manifest& manifest, LayerReferences layers) {
    ChildLabels labels;
    labels.add(manifest.config);
    if (layers == LayerReferences::keep) {
        for (const oci::Descriptor& layer : manifest.layers) labels.add(layer);
    }
    return labels.take();
}

Labels referrer_gc_labels(const std::vector<oci::Digest>& referrers) {
    constexpr std::size_t kShownDigits = 12;
    Labels labels;
    for (const oci::Digest& referrer : referrers) {
        labels.emplace(std::string(kContentPrefix) + "referrer.sha256." +
                           referrer.hex().substr(0, kShownDigits),
                       referrer.str());
    }
    return labels;
}

std::string snapshot_gc_label(std::string_view snapshotter) {
    return "containerd.io/gc.ref.snapshot." + std::string(snapshotter);
}

std::string source_label(const oci::Reference& repository) {
    return "containerd.io/distribution.source." + repository.registry_host();
}

std::string source_value(std::string_view existing, const oci::Reference& repository) {
    std::set<std::string, std::less<>> repositories{repository.repository};
    for (std::string_view rest = existing; !rest.empty();) {
        const std::size_t comma = rest.find(',');
        repositories.emplace(rest.substr(0, comma));
        rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    }
    std::string value;
    for (const std::string& name : repositories) {
        if (!value.empty()) value += ',';
        value += name;
    }
    if (source_label(repository).size() + value.size() > kMaxLabelBytes)
        return std::string(existing);
    return value;
}

Labels source_labels(const Labels& held, const std::vector<oci::Reference>& repositories) {
    Labels labels;
    for (const oci::Reference& repository : repositories) {
        const std::string key = source_label(repository);
        const auto entry = labels.try_emplace(key, value_of(held, key)).first;
        entry->second = source_value(entry->second, repository);
    }
    std::erase_if(labels, [](const auto& label) { return label.second.empty(); });
    return labels;
}

Labels missing_labels(const Labels& held, const Labels& wanted) {
    Labels missing;
    for (const auto& [key, value] : wanted) {
        if (value_of(held, key) != value) missing.emplace(key, value);
    }
    return missing;
}

}  // namespace prebake::store
