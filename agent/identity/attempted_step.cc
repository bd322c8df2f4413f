#include "agent/identity/attempted_step.h"

#include <google/protobuf/util/time_util.h>

#include <chrono>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/problem.h"

namespace prebake::identity {

v1::Problem printable_problem(const Error& error) {
    v1::Problem problem = problem_of(error);
    problem.set_message(printable(problem.message()));
    problem.set_next_step(printable(problem.next_step()));
    return problem;
}

v1::Step attempt_step(const std::string& name, const std::string& next_step,
                      const std::function<void()>& work) {
    v1::Step step;
    step.set_name(name);
    step.set_outcome(v1::Step::DONE);
    const auto began = std::chrono::steady_clock::now();
    try {
        work();
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) throw;
        step.set_outcome(v1::Step::FAILED);
        *step.mutable_problem() = printable_problem(error);
        if (error.next_step().empty()) step.mutable_problem()->set_next_step(next_step);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    step.set_seconds(took.count());
    *step.mutable_at() = google::protobuf::util::TimeUtil::GetCurrentTime();
    return step;
}

}  // namespace prebake::identity
