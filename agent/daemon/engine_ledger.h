#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "agent/daemon/engine_news.h"
#include "agent/ledger/accounts.h"
#include "agent/store/baked_images.h"

namespace prebake::daemon {

/// Counts the containers of a dockerd with a graph driver. To the accounts they are those of
/// namespace moby: a container's ID is the key of its snapshot, and the images' layers are chains
/// of snapshots. What dockerd downloads of an image it does not say, so only the layers of baked
/// images have a size. No I/O; not thread-safe.
class EngineLedger {
  public:
    explicit EngineLedger(ledger::Accounts& accounts) : accounts_(accounts) {}

    /// The images of the record, which say what the layers of an image were before dockerd had
    /// them.
    void set_baked(std::shared_ptr<const store::BakedImages> baked) { baked_ = std::move(baked); }
    /// What dockerd has. Counts starts that no event reported if its containers were listed.
    /// `driver` is the graph driver.
    void seen(const EngineSeen& seen, const std::string& driver);
    void happened(const EngineHappened& news);
    /// Another dockerd may answer next.
    void forget();

  private:
    /// Chain ID -> the chain below.
    using Chains = std::map<std::string, std::string>;

    v1::BakedImage describe(const std::string& name, const docker::EngineImage& image) const;
    void image_changes(const EngineSeen& seen, const Chains& chains);
    void relist(const EngineSeen& seen, const Chains& chains, const std::string& driver);

    ledger::Accounts& accounts_;
    std::shared_ptr<const store::BakedImages> baked_ = std::make_shared<store::BakedImages>();
    std::map<std::string, docker::EngineImage> images_;  ///< by name, as of the last seen()
    Chains chains_;                                      ///< the same
    bool is_listed_ = false;
};

}  // namespace prebake::daemon
