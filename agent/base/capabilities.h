#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace prebake {

/// Capabilities of Linux, capabilities(7): bit N is the capability with the number N.
using CapabilityMask = std::uint64_t;

constexpr CapabilityMask capability(unsigned number) {
    return CapabilityMask{1} << number;
}

struct Capability {
    unsigned number;   ///< CAP_CHOWN
    const char* name;  ///< "CAP_CHOWN"
};

/// "it lacks CAP_CHOWN" for the first of `needed` that is not in `held`; empty if all are.
std::string lacking(std::span<const Capability> needed, CapabilityMask held);

/// What the kernel keeps for each thread. A new thread starts with the sets of its creator.
struct CapabilitySets {
    CapabilityMask effective = 0;    ///< what is allowed now
    CapabilityMask permitted = 0;    ///< what the thread may make effective
    CapabilityMask inheritable = 0;  ///< not used by us
};

/// Of the calling thread. @throws Error.
CapabilitySets own_capabilities();
/// For the calling thread. @throws Error permission_denied.
void set_own_capabilities(const CapabilitySets& sets);

/// Makes what is permitted of `wanted` effective for the calling thread, and takes back what it
/// has added at the end of the scope. Belongs to one thread.
class RaisedCapabilities {
  public:
    /// @throws Error.
    explicit RaisedCapabilities(CapabilityMask wanted);
    ~RaisedCapabilities();
    RaisedCapabilities(const RaisedCapabilities&) = delete;
    RaisedCapabilities& operator=(const RaisedCapabilities&) = delete;

  private:
    CapabilityMask added_ = 0;
};

/// True if programs that this process runs get no capabilities that it has not (NoNewPrivileges= of
/// systemd).
bool has_no_new_privileges();

}  // namespace prebake
