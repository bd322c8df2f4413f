
#include "agent/base/error.h"
#include "agent/cli/commands.h"
#include "agent/cli/identity_facts.h"
#include "agent/cli/log.h"
#include "agent/cli/recording_leftovers.h"
#include "agent/cli/runtime_directory.h"
#include "agent/cli/unit_order.h"
#include "agent/containerd/config_file.h"
#include "agent/daemon/service.h"
#include "agent/hydrate/trace.h"

namespace prebake::cli {
namespace {

void write_log(guard::Severity severity, const std::string& text) {
    switch (severity) {
        case guard::Severity::error:
            return log_error(Error(Errc::internal, text));
        case guard::Severity::warning:
            return log_warning(text);
        case guard::Severity::info:
            return log_info(text);
        case guard::Severity::debug:
            return log_debug(text);
    }
}

/// What the administrator ordered in a circle; empty if nothing. Each problem is logged.
report::OrderProblems order_problems(const std::string& address, bool needs_docker) {
    report::OrderProblems problems;
    for (const UnitThatWaits& waiting :
         units_that_wait(machine::Root("/"), address, needs_docker)) {
        const std::string text = describe(waiting);
        if (!waiting.is_ordered) {
            log_warning(text + ": remove it; the images are checked when " + waiting.starts +
                        " answers");
            continue;
        }
        log_warning(text +
                    ": neither is ready before readiness.deadline; remove that order, then "
                    "run systemctl daemon-reload");
        std::string& problem = waiting.starts == "dockerd" ? problems.docker : problems.containerd;
        if (problem.empty()) problem = text;
    }
    return problems;
}

daemon::ServiceOptions service_options(const Invocation& invocation) {
    const Config& config = invocation.config;
    report::EndpointOptions endpoint = config.endpoint;
    endpoint.trace_file = hydrate::boot_trace_path(invocation.state_dir);
    return {.loop = {.address = config.address,
                     .docker_host = config.docker_host,
                     .state_dir = invocation.state_dir,
                     .runtime_dir = runtime_directory(config),
                     .gates = config.gates,
                     .pin_limits = config.pin_limits,
                     .snapshotter = config.snapshotter,
                     .keeps_deleted = config.keep_deleted,
                     .wants_sandbox = config.sandbox == bake::SandboxRule::automatic,
                     .prebake_version = PREBAKE_VERSION,
                     .identity =
                         [state_dir = invocation.state_dir.string()] {
                             return read_identity_facts(machine::Root("/"), state_dir);
                         },
                     .configured_runtime =
                         [file = config.containerd_config] {
                             return containerd::read_config_file(file);
                         },
                     .order_problems =
                         [address = config.address](bool needs_docker) {
                             return order_problems(address, needs_docker);
                         },
                     .note = write_log},
            .endpoint = endpoint,
            .ssm_inventory = config.ssm_inventory};
}

/// Has SIGHUP reload the service as long as this object lives.
class ReloadOnHangup {
  public:
    ReloadOnHangup(StopSignals& signals, daemon::Service& service) : signals_(signals) {
        signals_.on_hangup([&service] { service.reload(); });
    }
    ~ReloadOnHangup() { signals_.on_hangup({}); }
    ReloadOnHangup(const ReloadOnHangup&) = delete;
    ReloadOnHangup& operator=(const ReloadOnHangup&) = delete;

  private:
    StopSignals& signals_;
};

}  // namespace

ExitCode daemon_command(const Invocation& invocation, StopSignals& signals) {
    restore_what_recordings_left(runtime_directory(invocation.config));
    daemon::Service service(service_options(invocation));
    const ReloadOnHangup reload(signals, service);
    service.run(signals.token());
    return ExitCode::done;
}

}  // namespace prebake::cli
