#include "agent/store/snapshotter.h"

#include "agent/containerd/cri.h"
#include "agent/containerd/introspection.h"
#include "agent/store/names.h"

namespace prebake::store {
namespace {

/// The one that containerd's clients use by default.
constexpr const char* kUsualSnapshotter = "overlayfs";

}  // namespace

std::string snapshotter_of(const std::string& ns, const containerd::Connection& connection) {
    if (ns == kCriNamespace) {
        const containerd::Cri cri(connection);
        if (cri.available()) {
            if (std::string name = cri.snapshotter(); !name.empty()) return name;
        }
    }
    return default_snapshotter_of(ns, connection);
}

std::string default_snapshotter_of(const std::string& ns,
                                   const containerd::Connection& connection) {
    const std::string name = containerd::default_snapshotter_of(connection, ns);
    return name.empty() ? kUsualSnapshotter : name;
}

}  // namespace prebake::store
