#include "agent/base/error.h"

#include "agent/base/format.h"

namespace prebake {
namespace {

std::string join(const std::string& message, const std::string& next_step) {
    return next_step.empty() ? message : message + "; " + next_step;
}

}  // namespace

std::string_view to_string(Errc code) {
    switch (code) {
        case Errc::usage:
            return "usage";
        case Errc::not_found:
            return "not_found";
        case Errc::unauthenticated:
            return "unauthenticated";
        case Errc::permission_denied:
            return "permission_denied";
        case Errc::untrusted:
            return "untrusted";
        case Errc::rate_limited:
            return "rate_limited";
        case Errc::unavailable:
            return "unavailable";
        case Errc::timed_out:
            return "timed_out";
        case Errc::corrupt:
            return "corrupt";
        case Errc::unsupported:
            return "unsupported";
        case Errc::too_large:
            return "too_large";
        case Errc::conflict:
            return "conflict";
        case Errc::failed_precondition:
            return "failed_precondition";
        case Errc::no_space:
            return "no_space";
        case Errc::cancelled:
            return "cancelled";
        case Errc::io:
            return "io";
        case Errc::internal:
            return "internal";
    }
    return "internal";
}

bool is_retryable(Errc code) {
    return code == Errc::rate_limited || code == Errc::unavailable || code == Errc::timed_out;
}

Error::Error(Errc code, const std::string& message, const std::string& next_step)
    : std::runtime_error(printable(join(message, next_step))),
      code_(code),
      message_(printable(message)),
      next_step_(printable(next_step)) {}

Error Error::within(std::string_view context) const {
    return Error(code_, std::string(context) + ": " + message_, next_step_);
}

}  // namespace prebake
