#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "agent/bake/event.h"
#include "agent/containerd/connection.h"
#include "agent/containerd/content.h"
#include "agent/containerd/images.h"
#include "agent/registry/remote.h"
#include "agent/store/storage.h"

namespace prebake::bake {

/// What every step of one bake works with. Lives as long as the bake; the steps refer to it.
struct Session {
    const containerd::Connection& connection;
    registry::Remote& remote;
    EventSink& events;
    const store::Storage& storage;
    std::string lease;  ///< the same id in each namespace
    /// Where else to look for a blob before the registry is asked for it.
    std::vector<std::string> other_namespaces = {};
    bool outlasts_restarts = true;  ///< of containerd; otherwise its end is the session's, too

    containerd::Scope scope(const std::string& ns) const { return {.ns = ns, .lease = lease}; }
    containerd::Content content(const std::string& ns) const { return {connection, scope(ns)}; }
    containerd::Images images(const std::string& ns) const { return {connection, scope(ns)}; }

    /// bake::outlast_restart(), with a notice for the display of the image; if it is to outlast
    /// any.
    void outlast_restart(const std::string& image, const std::function<void()>& work) const;

    void notice(const std::string& image, std::string message) const {
        events.on_event({.kind = EventKind::notice, .image = image, .message = std::move(message)});
    }
};

}  // namespace prebake::bake
