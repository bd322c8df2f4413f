#include "agent/guard/cri_settings.h"

#include <algorithm>
#include <optional>

#include "agent/bake/survey.h"
#include "agent/base/error.h"
#include "agent/containerd/content.h"
#include "agent/containerd/cri.h"
#include "agent/oci/digest.h"
#include "agent/oci/platform.h"
#include "agent/store/names.h"
#include "agent/store/sandbox.h"
#include "agent/store/stored_image.h"

namespace prebake::guard {
namespace {

/// CRI answers with errors while it starts. After this many in a row we stop waiting for it.
constexpr int kMaxFailures = 6;

}  // namespace

CriSettings CriSettingsReader::read() {
    const containerd::ConfiguredRuntime configured =
        configured_ ? configured_() : containerd::ConfiguredRuntime();
    CriSettings settings{.cri = {}, .snapshotter = snapshotter_, .sandbox_image = {}};
    ask_cri(settings);
    if (settings.snapshotter.empty()) settings.snapshotter = configured.snapshotter;
    if (settings.snapshotter.empty()) {
        settings.snapshotter =
            store::snapshotter_of(std::string(store::kCriNamespace), connection_);
    }
    settings.sandbox_image = store::sandbox_name(
        settings.sandbox_image, settings.cri.answers ? configured.sandbox_image : "");
    return settings;
}

void CriSettingsReader::ask_cri(CriSettings& settings) {
    try {
        const containerd::Cri cri(connection_);
        settings.cri = cri.service();
        if (settings.cri.answers) {
            if (settings.snapshotter.empty()) settings.snapshotter = cri.snapshotter();
            settings.sandbox_image = cri.sandbox_image();
        }
        failures_ = 0;
        log_.clear("CRI");
    } catch (const Error& error) {
        if (containerd::ends_session(error) || ++failures_ < kMaxFailures) throw;
        if (!settings.cri.answers) {
            settings.cri = {.has_failed = true,
                            .problem = "its CRI plugin answers with errors: " + error.message(),
                            .next_step = "see why with: journalctl -u containerd"};
        }
        log_.warn("CRI",
                  "CRI does not answer; using containerd's configuration file: " + error.message());
    }
}

v1::BakedImage describe_sandbox(const containerd::Connection& connection,
                                const containerd::Image& held, const std::string& snapshotter) {
    const containerd::Scope scope{.ns = std::string(store::kCriNamespace), .lease = {}};
    v1::BakedImage image =
        store::describe_stored(connection, scope.ns, held, oci::Platform::host());
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_(scope.ns);
    placement.set_pinned(true);
    placement.set_unpacked(!image.chain_id().empty());
    placement.set_snapshotter(snapshotter);
    placement.set_cri_resolves(true);
    placement.add_names(held.name);
    for (const containerd::Image& other : containerd::Images(connection, scope).list()) {
        const bool is_digest =
            other.name.starts_with("sha256:") || other.name.find('@') != std::string::npos;
        if (is_digest && other.name != held.name && other.target.digest == held.target.digest) {
            placement.add_names(other.name);
        }
    }
    // CRI may be configured to discard layers after unpacking: then there are no blobs to keep.
    const containerd::Content content(connection, scope);
    const auto& layers = image.layers();
    placement.set_layers_kept(
        std::all_of(layers.begin(), layers.end(), [&](const v1::Layer& layer) {
            return content.info(oci::Digest::parse(layer.digest())).has_value();
        }));
    return image;
}

}  // namespace prebake::guard
