#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/machine/root.h"

namespace prebake::identity {

/// True if a daemon accepts it as its root directory: absolute, not "/", without "..". Pure.
bool is_usable_root(std::string_view path);

/// What the configuration of this machine's dockerd says of its files.
struct DockerSettings {
    /// Where dockerd may keep its state, each once, whether it exists or not: the usual directory,
    /// the snap's, and what daemon.json, its units and the files with its options name. With
    /// userns-remap also "165536.165536" in each. Rootless ones are not among them.
    std::vector<std::string> data_roots;
    /// The daemon.json files; the first is the usual one.
    std::vector<std::string> files;
    /// Other PID files than the usual one, on a disk.
    std::vector<std::string> pid_files;
};

/// @throws Error untrusted, too_large, permission_denied, io for a file that cannot be read.
DockerSettings docker_settings(const machine::Root& root);

/// The value that each of `flags` ("--data-root", "-g") has in a unit or in a file with options:
/// "--data-root=/x", "--data-root /x", "-g /x", also quoted. Not in comments. Pure.
std::vector<std::string> values_of_flags(std::string_view text,
                                         const std::vector<std::string_view>& flags);

}  // namespace prebake::identity
