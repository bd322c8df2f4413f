#pragma once

#include <vector>

#include "agent/identity/firstboot/step.h"

namespace prebake::identity::firstboot {

struct NamedStep {
    const char* name;
    StepResult (*work)(const StepContext&);
};

/// What needs no network, in the order of work.
const std::vector<NamedStep>& local_steps();

/// The steps when the network is up, without drop-ins and the proof. Steps that the
/// configuration does not ask for are left out.
std::vector<NamedStep> online_steps(const FirstBootOptions& options);

/// The environment of drop-ins: facts of the instance.
std::vector<std::pair<std::string, std::string>> drop_in_environment(const StepContext& context);

}  // namespace prebake::identity::firstboot
