#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace prebake {

/// What went wrong, in terms that a caller can act on. Adapters translate foreign codes (errno,
/// HTTP status, gRPC code) into one of these at the border; nothing above compares a foreign code.
enum class Errc {
    usage,              ///< the command line, the configuration or an image list is wrong
    not_found,          ///< the named thing does not exist
    unauthenticated,    ///< credentials are missing or refused
    permission_denied,  ///< the caller is known and not allowed
    untrusted,          ///< others can change a file (base/file_trust.h), or a signature is missing
    rate_limited,       ///< the other side asks to retry later
    unavailable,        ///< the other side cannot be reached, or closed the connection
    timed_out,          ///< the other side did not answer in time
    corrupt,            ///< bytes do not match their digest, size or format
    unsupported,        ///< well-formed, but something that prebake or the other side cannot do
    too_large,          ///< over a limit of ours
    conflict,           ///< two statements contradict each other, or another process has the object
    failed_precondition,  ///< the other side cannot do it in its present state
    no_space,             ///< the disk is full, or clearly too small
    cancelled,            ///< a stop was requested
    io,                   ///< the operating system refused a file or process operation
    internal,             ///< a defect of prebake
};

/// The stable lower_snake name, as reports and JSON documents show it.
std::string_view to_string(Errc code);

/// True if the same attempt may succeed later without any change.
bool is_retryable(Errc code);

/// The only exception type that prebake throws. Its texts are made printable(): parts of them come
/// from registries and other programs, which must not control the operator's terminal.
/// `what()` reads "context: context: message; next step".
class Error : public std::runtime_error {
  public:
    Error(Errc code, const std::string& message, const std::string& next_step = {});

    Errc code() const { return code_; }
    /// The contexts and the message, without the next step.
    const std::string& message() const { return message_; }
    /// What the operator can do about it; may be empty.
    const std::string& next_step() const { return next_step_; }

    /// The same error with `context`, the object of the work, in front of the message.
    [[nodiscard]] Error within(std::string_view context) const;

  private:
    Errc code_;
    std::string message_;
    std::string next_step_;
};

/// Runs `work`, and adds `context` in front of an Error that it throws.
template <typename Work>
decltype(auto) in_context(std::string_view context, Work&& work) {
    try {
        return std::forward<Work>(work)();
    } catch (const Error& error) {
        throw error.within(context);
    }
}

}  // namespace prebake
