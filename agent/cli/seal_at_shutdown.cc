#include "agent/cli/seal_at_shutdown.h"

#include <cstdio>
#include <filesystem>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/json.h"
#include "agent/base/process.h"
#include "agent/cli/leftover_containers.h"
#include "agent/cli/log.h"
#include "agent/cli/stopped_units.h"

namespace prebake::cli {
namespace {

constexpr const char* kUnit = "prebake-seal.service";
/// prebake-seal.service stops it when it starts.
constexpr const char* kRandomSeedUnit = "systemd-random-seed.service";
constexpr const char* kSchema = "prebake.v1.ArmedSeal";
constexpr std::size_t kMaxArmedBytes = 1UL << 20;

void require_systemd() {
    if (identity::is_managed_by_systemd()) return;
    throw Error(Errc::failed_precondition,
                "cannot arm the seal: systemd is not the init system of this machine",
                "run prebake seal as the last step of the build instead");
}

template <typename List>
std::vector<std::string> strings_of(const List& list) {
    return {list.begin(), list.end()};
}

bool is_active(const std::string& unit, const std::stop_token& stop) {
    return run_command({.arguments = {"systemctl", "is-active", "--quiet", "--", unit}}, stop)
               .status == 0;
}

bool is_going_down(const std::stop_token& stop) {
    // Its exit status is 0 only if the state is "running".
    const CommandResult state =
        run_command({.arguments = {"systemctl", "is-system-running"}}, stop);
    return state.output.starts_with("stopping");
}

}  // namespace

void arm_seal(const Invocation& invocation, const SealArguments& arguments) {
    if (arguments.root != "/" || arguments.is_dry_run) {
        throw Error(
            Errc::usage,
            "--at-shutdown seals the running machine: neither --root nor --dry-run goes with it",
            "see prebake seal --help");
    }
    require_systemd();
    v1::ArmedSeal armed;
    armed.set_schema(kSchema);
    armed.set_config(invocation.config_file);
    armed.set_state_dir(invocation.state_dir.string());
    for (const std::string& name : arguments.scope.only) armed.add_only(name);
    for (const std::string& name : arguments.scope.skip) armed.add_skip(name);
    for (const std::string& name : arguments.scope.also) armed.add_also(name);

    // At shutdown it is not known who ran sudo: a user's own file would be refused then.
    if (!invocation.config_file.empty()) read_config(invocation.config_file, WhoseFile::ours);

    const std::stop_token stop = invocation.signals.token();
    std::vector<std::string> units = identity::units_to_stop_now(
        {identity::StopPhase::orchestrators}, invocation.config.services, stop);
    if (is_active(kRandomSeedUnit, stop)) units.emplace_back(kRandomSeedUnit);
    announce_stops(invocation, units);
    remember_stopped(kStoppedUnitsFile, units);
    // First, so that a machine that cannot be armed is not changed.
    write_file_durably(kArmedFile, to_json(armed, JsonForm::indented) + "\n", 0600);
    try {
        run_or_throw({.arguments = {"systemctl", "start", kUnit}}, stop);
    } catch (const Error&) {
        std::error_code ignored;
        std::filesystem::remove(kArmedFile, ignored);
        throw;
    }
    for (const v1::Step& step : identity::stop_services(identity::StopPhase::orchestrators,
                                                        invocation.config.services, stop)) {
        if (step.outcome() == v1::Step::FAILED) {
            log_warning(step.name() + ": " + step.problem().message());
        }
    }
    try {
        remove_leftover_containers(invocation, arguments.scope);
    } catch (const Error& error) {
        log_warning("containers were not removed: " + error.message());
    }
    if (!invocation.quiet) {
        std::puts(
            "armed: this machine seals itself when it shuts down (undo with prebake seal "
            "--disarm)");
    }
}

void disarm_seal(const Invocation& invocation) {
    std::error_code ignored;  // it may be absent
    std::filesystem::remove(kArmedFile, ignored);
    if (std::filesystem::exists(kArmedFile)) {
        throw Error(Errc::permission_denied, std::string("cannot remove ") + kArmedFile,
                    "run prebake seal --disarm as root");
    }
    if (identity::is_managed_by_systemd()) start_stopped_units(invocation);
    if (!invocation.quiet) std::puts("disarmed: nothing is sealed at shutdown");
}

ExitCode carry_out_armed_seal(const Invocation& invocation, const SealArguments& arguments) {
    if (!std::filesystem::exists(kArmedFile)) return ExitCode::done;
    if (!is_going_down(invocation.signals.token())) {
        log_warning(std::string(kUnit) +
                    " was stopped, but the machine does not shut down: not sealed, still armed");
        return ExitCode::done;
    }
    v1::ArmedSeal armed;
    from_json(read_file(kArmedFile, kMaxArmedBytes), armed, kArmedFile,
              "arm it again: prebake seal --at-shutdown");
    Invocation same = invocation;
    same.state_dir = armed.state_dir();
    if (!armed.config().empty()) same.config = read_config(armed.config(), WhoseFile::ours);
    SealArguments once = arguments;
    once.scope = same.config.seal;
    once.scope.only = strings_of(armed.only());
    once.scope.skip = strings_of(armed.skip());
    once.scope.also = strings_of(armed.also());
    identity::validate(once.scope);
    const v1::SealReport report = seal_now(same, once, identity::Occasion::shutdown);
    return report.failed() == 0 ? ExitCode::done : ExitCode::partial;
}

}  // namespace prebake::cli
