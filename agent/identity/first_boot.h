#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "agent/identity/claim.h"
#include "agent/identity/host_certificate.h"
#include "agent/identity/metadata.h"
#include "agent/identity/root.h"
#include "agent/identity/seal.h"

namespace prebake::identity {

enum class Stage {
    local,   ///< prebake-firstboot.service: before almost everything, no network
    online,  ///< prebake-online.service: the network is up; completes the claim
};

struct FirstBootOptions {
    std::string state_dir = "/var/lib/prebake";            ///< inside the root
    std::string drop_in_dir = "/etc/prebake/firstboot.d";  ///< inside the root
    /// Templates over the metadata: {hostname}, {short_hostname}, {instance_id}, {local_ipv4},
    /// {region}, {zone}, {account}, {instance_type}, {tag:NAME}. Empty: leave the host name alone.
    std::string hostname = "{hostname}";
    /// Lines for /etc/hosts, same templates; "" keeps the file as it is.
    std::string hosts;
    HostCertificateOptions certificate;  ///< off unless a path is given
    /// What the administrator has seal keep or skip is kept on a clone, too.
    SealScope scope;
    MetadataLimits metadata;
    std::chrono::milliseconds drop_in_limit{300'000};
    std::string prebake_version;

    bool operator==(const FirstBootOptions&) const = default;
};

/// Called at every point where a power cut would leave a different state behind, by name
/// ("begun", "ssh-host-keys:done", "ssh-host-keys:journalled", ...). For tests; may be empty.
using CrashPoint = std::function<void(std::string_view)>;

/// Makes this machine itself, once. Idempotent: killed anywhere, the next call completes what is
/// missing and repeats nothing that was journalled. Steps that fail are journalled as FAILED, do
/// not stop the others, and are tried again at the next boot; the claim becomes CLAIMED when all
/// are done. `transport` may be null in the local stage.
/// @throws Error conflict (another first boot runs), no_space, io for the claim itself; cancelled.
v1::FirstBootReport first_boot(const Root& root, Stage stage, const FirstBootOptions& options,
                               MetadataTransport* transport, const CrashPoint& crash_point,
                               const std::stop_token& stop);

}  // namespace prebake::identity
