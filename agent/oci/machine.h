#pragma once

#include <string_view>

#include "agent/oci/platform.h"

namespace prebake::oci {

/// The platform of a Linux machine whose uname(2) says `machine`: "x86_64" is linux/amd64, "armv6l"
/// is linux/arm/v6. Names not listed stand for themselves: Go uses uname's for the rest (s390x,
/// ppc64le, ...).
Platform platform_of_machine(std::string_view machine);

}  // namespace prebake::oci
