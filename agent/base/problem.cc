#include "agent/base/problem.h"

namespace prebake {

v1::Problem problem_of(const Error& error) {
    v1::Problem problem;
    problem.set_code(std::string(to_string(error.code())));
    problem.set_message(error.message());
    problem.set_next_step(error.next_step());
    return problem;
}

}  // namespace prebake
