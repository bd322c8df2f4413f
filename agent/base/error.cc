#include "agent/base/error.h"

#include <utility>

namespace prebake {
namespace {

/// Parts of messages come from registries, archives and other programs; none of them may steer the
/// operator's terminal.
std::string printable(std::string text) {
    bool after_c2 = false;
    for (char& c : text) {
        const auto byte = static_cast<unsigned char>(c);
        // U+0080 to U+009F are control characters too, and C2 is how they begin in UTF-8.
        const bool is_c1 = after_c2 && byte >= 0x80 && byte < 0xa0;
        after_c2 = byte == 0xc2;
        if (byte < 0x20 || byte == 0x7f) c = '?';
        if (is_c1) c = '\xbf';  // with the C2 before it: an inverted question mark
    }
    return text;
}

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

Error::Error(Errc code, std::string message, std::string next_step)
    : std::runtime_error(printable(join(message, next_step))),
      code_(code),
      message_(printable(std::move(message))),
      next_step_(printable(std::move(next_step))) {}

Error Error::within(std::string_view context) const {
    return Error(code_, std::string(context) + ": " + message_, next_step_);
}

}  // namespace prebake
