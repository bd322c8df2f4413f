#pragma once

#include <vector>

#include "agent/identity/firstboot/step.h"

namespace prebake::identity::firstboot {

struct NamedStep {
    const char* name;
    StepResult (*work)(const StepContext&);
};

/// The steps that need no network, in the order of work.
const std::vector<NamedStep>& local_steps();

/// The steps for when the network is up, except drop-ins and the proof. Steps that are not
/// configured are left out.
std::vector<NamedStep> online_steps(const FirstBootOptions& options);

/// The environment of drop-ins: the facts of the instance.
std::vector<std::pair<std::string, std::string>> drop_in_environment(const StepContext& context);

}  // namespace prebake::identity::firstboot
