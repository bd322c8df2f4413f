#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "agent/bake/holdings.h"
#include "agent/bake/survey.h"
#include "agent/containerd/events.h"
#include "agent/containerd/images.h"
#include "agent/node/accounts.h"
#include "agent/node/journal.h"

namespace prebake::node {

/// Tells the accounts what happens in containerd, and finds out there what they need to know.
class Bookkeeper {
  public:
    Bookkeeper(Accounts& accounts, const containerd::Connection& connection, Journal& journal)
        : accounts_(accounts), connection_(connection), journal_(journal) {}

    /// Makes known every image of every namespace, then counts the starts that were missed; returns
    /// how many. `known` are the snapshotters that are known already. @throws Error unavailable,
    /// cancelled.
    std::size_t list_everything(const bake::Snapshotters& known, Time now,
                                const std::function<void()>& on_step);

    /// An event about a snapshot, a blob, or the end of an image's name.
    void on_event(const containerd::Event& event);
    /// A name that somebody created or updated. @throws Error unavailable, cancelled; what cannot
    /// be described (not an image, partly pulled) is left out.
    void image_named(const std::string& ns, const containerd::Image& image, std::optional<Time> at);
    /// These images were made whole again by ourselves, in these namespaces.
    void restored(const v1::BakeRecord& images, const bake::Snapshotters& snapshotters);

  private:
    void snapshot_prepared(const containerd::Event& event);
    void describe_news(const bake::Holdings& holdings);
    std::optional<v1::BakedImage> describe(const std::string& ns, const containerd::Image& image);

    Accounts& accounts_;
    const containerd::Connection& connection_;
    Journal& journal_;
    // A pull names one image three times.
    std::string described_;  ///< "namespace target"
    std::optional<v1::BakedImage> description_;
    std::map<std::string, std::chrono::steady_clock::time_point> listed_;  ///< namespace -> when
};

}  // namespace prebake::node
