#include "agent/cli/exit_code.h"

#include <csignal>

#include "agent/cli/stop_signals.h"

namespace prebake::cli {

ExitCode interruption_code(const StopSignals& signals) {
    return signals.received() == SIGTERM ? ExitCode::terminated : ExitCode::interrupted;
}

ExitCode exit_code_of(Errc code) {
    if (code == Errc::usage) return ExitCode::usage;
    if (code == Errc::cancelled) return ExitCode::interrupted;
    return is_retryable(code) ? ExitCode::try_again : ExitCode::failed;
}

}  // namespace prebake::cli
