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
#include "agent/store/snapshotter.h"
#include "agent/store/store_view.h"
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
        // CRI itself was asked; asking it again might fail again.
        settings.snapshotter =
            store::default_snapshotter_of(std::string(store::kCriNamespace), connection_);
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
        if (!settings.cri.answers) settings.cri = store::failed_cri(error);
        log_.warn("CRI",
                  "CRI does not answer; using containerd's configuration file: " + error.message());
    }
}

}  // namespace prebake::guard
