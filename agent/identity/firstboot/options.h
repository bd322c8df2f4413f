#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "agent/identity/firstboot/host_certificate.h"
#include "agent/identity/scope.h"
#include "agent/machine/metadata.h"

namespace prebake::identity::firstboot {

enum class Stage {
    local,   ///< prebake-firstboot.service: before most other units, without network
    online,  ///< prebake-online.service: the network is up; completes the claim
};

struct FirstBootOptions {
    std::string state_dir = "/var/lib/prebake";            ///< inside the root
    std::string drop_in_dir = "/etc/prebake/firstboot.d";  ///< inside the root
    /// Templates over the metadata: {hostname}, {short_hostname}, {instance_id}, {local_ipv4},
    /// {region}, {zone}, {account}, {instance_type}, {tag:NAME}. Empty: the host name is not
    /// changed.
    std::string hostname = "{hostname}";
    /// Lines for /etc/hosts, with the same templates. Empty: the file is not changed.
    std::string hosts;
    HostCertificateOptions certificate;  ///< off unless it has a path
    /// What a seal keeps or skips is also kept on a clone.
    SealScope scope;
    machine::MetadataLimits metadata;
    std::chrono::milliseconds drop_in_limit{300'000};
    std::string prebake_version;

    bool operator==(const FirstBootOptions&) const = default;
};

/// Called, with a name, at each point where a power cut would leave a different state ("begun",
/// "ssh-host-keys:done", "ssh-host-keys:journalled", ...). For tests; may be empty.
using CrashPoint = std::function<void(std::string_view)>;

}  // namespace prebake::identity::firstboot
