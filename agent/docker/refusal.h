#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"

namespace prebake::docker {

/// What dockerd could not do.
struct Refused {
    std::string work;          ///< "pull docker.io/library/alpine:3.20"
    std::string message = {};  ///< dockerd's own
    int status = 200;          ///< 200: it came inside the stream of an answer
    /// Names of images and registries: they may contain any word, so they are no part of the
    /// reason.
    std::vector<std::string> names = {};
    std::vector<std::string> secrets = {};  ///< what was sent, and must not be repeated
};

/// dockerd reports what went wrong in words: its own, containerd's, Go's and the registry's. Pure.
Error error_of(const Refused& refused);

}  // namespace prebake::docker
