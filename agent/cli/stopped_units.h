#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/commands.h"
#include "agent/identity/services.h"

/// The units that a seal stops: announced before, remembered in /run, and started again by `prebake
/// seal --disarm`.
namespace prebake::cli {

/// One unit a line. A reboot starts the units anyway.
inline constexpr const char* kStoppedUnitsFile = "/run/prebake/stopped-units";

/// Says which units will be stopped. Says nothing if there are none, or with --quiet or --json.
void announce_stops(const Invocation& invocation, const std::vector<std::string>& units);

/// Adds units to the file, except those that would claim an identity when they start. @throws Error
/// no_space, permission_denied, io.
void remember_stopped(const std::filesystem::path& file, const std::vector<std::string>& units);

/// The units in the file, in the order in which they were stopped; none if there is no file.
/// @throws Error permission_denied, io, too_large.
std::vector<std::string> remembered_units(const std::filesystem::path& file);

enum class Started { yes, not_yet, no };

/// Whether units have started, from the output of `systemctl show --property=Id,ActiveState,Job`
/// after `systemctl start --no-block`; by unit. Pure.
std::map<std::string, Started> started_units(std::string_view shown);

/// Starts the remembered units. Those that do not start are warned about, and stay remembered.
/// Units that wait for something else, such as a kubelet for a node that is ready, are left to
/// systemd after ten seconds.
void start_stopped_units(const Invocation& invocation);

}  // namespace prebake::cli
