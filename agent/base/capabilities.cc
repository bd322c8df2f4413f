#include "agent/base/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <exception>

#include "agent/base/error.h"
#include "agent/base/file.h"

namespace prebake {
namespace {

using CapabilityWords = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

constexpr unsigned kWordBits = 32;

__user_cap_header_struct header_of_this_thread() {
    return {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
}

CapabilityMask joined(std::uint32_t low, std::uint32_t high) {
    return low | CapabilityMask{high} << kWordBits;
}

}  // namespace

std::string lacking(std::span<const Capability> needed, CapabilityMask held) {
    for (const Capability& one : needed) {
        if ((held & capability(one.number)) == 0) return std::string("it lacks ") + one.name;
    }
    return {};
}

CapabilitySets own_capabilities() {
    __user_cap_header_struct header = header_of_this_thread();
    CapabilityWords words{};
    if (::syscall(SYS_capget, &header, words.data()) != 0) {
        throw errno_error("cannot read", "the capabilities of this thread");
    }
    return {.effective = joined(words[0].effective, words[1].effective),
            .permitted = joined(words[0].permitted, words[1].permitted),
            .inheritable = joined(words[0].inheritable, words[1].inheritable)};
}

void set_own_capabilities(const CapabilitySets& sets) {
    __user_cap_header_struct header = header_of_this_thread();
    CapabilityWords words{};
    for (unsigned i = 0; i < words.size(); ++i) {
        words.at(i) = {
            .effective = static_cast<std::uint32_t>(sets.effective >> (i * kWordBits)),
            .permitted = static_cast<std::uint32_t>(sets.permitted >> (i * kWordBits)),
            .inheritable = static_cast<std::uint32_t>(sets.inheritable >> (i * kWordBits))};
    }
    if (::syscall(SYS_capset, &header, words.data()) != 0) {
        throw errno_error("cannot change", "the capabilities of this thread");
    }
}

RaisedCapabilities::RaisedCapabilities(CapabilityMask wanted) {
    CapabilitySets sets = own_capabilities();
    added_ = wanted & sets.permitted & ~sets.effective;
    if (added_ == 0) return;
    sets.effective |= added_;
    set_own_capabilities(sets);
}

RaisedCapabilities::~RaisedCapabilities() {
    if (added_ == 0) return;
    try {
        CapabilitySets sets = own_capabilities();
        sets.effective &= ~added_;
        set_own_capabilities(sets);
    } catch (const Error&) {
        // The kernel always lets a thread give up capabilities.
        std::terminate();
    }
}

bool has_no_new_privileges() {
    return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

}  // namespace prebake
