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

/// The state of a unit after `systemctl start --no-block`.
enum class Started {
    no,  ///< it failed, or was not started: what it requires failed, or a socket's port is taken
    not_yet,  ///< it waits in systemd's queue
    yes,  ///< or it has nothing to do: a condition of the unit is not met, or it has done its work
};

/// The properties that started_units() needs.
inline constexpr const char* kStartProperties =
    "--property=Id,Type,ActiveState,Result,ConditionResult,Job";

/// By unit, from the output of `systemctl show` with kStartProperties. Pure.
std::map<std::string, Started> started_units(std::string_view shown);

/// The order in which units start: sockets and the like before the services that would take their
/// port, and the last one that stopped first. Pure.
std::vector<std::string> in_start_order(std::vector<std::string> stopped);

/// Starts the remembered units. Those that do not start are warned about. Those, and units that
/// after ten seconds still wait for something else, such as a kubelet for a node that is ready,
/// stay remembered.
void start_stopped_units(const Invocation& invocation);

}  // namespace prebake::cli
