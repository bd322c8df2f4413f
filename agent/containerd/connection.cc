#include "agent/containerd/connection.h"

#include <utility>

#include "agent/base/ascii.h"
#include "agent/containerd/channel.h"

namespace prebake::containerd {
namespace {

constexpr std::size_t kMaxNamespaceLength = 76;

}  // namespace

void validate_namespace(const std::string& ns) {
    // Runs of letters and digits with exactly one of ._- between two runs.
    bool wants_alphanumeric = true;
    bool valid = ns.size() <= kMaxNamespaceLength;
    for (const char c : ns) {
        if (is_alphanumeric(c)) {
            wants_alphanumeric = false;
        } else {
            valid = valid && !wants_alphanumeric && (c == '.' || c == '_' || c == '-');
            wants_alphanumeric = true;
        }
    }
    if (valid && !wants_alphanumeric) return;
    throw Error(Errc::usage,
                "'" + ns.substr(0, kMaxNamespaceLength + 1) + "' is not a containerd namespace",
                "use at most 76 letters and digits, with single '.', '_' or '-' between them");
}

Connection::Connection(const std::string& address, std::stop_token stop)
    : channel_(std::make_unique<Channel>(address, std::move(stop))) {}

Connection::~Connection() = default;

const std::string& Connection::address() const {
    return channel_->path();
}
const std::stop_token& Connection::stop() const {
    return channel_->stop();
}

bool ends_session(const Error& error) {
    return error.code() == Errc::unavailable || error.code() == Errc::cancelled;
}

}  // namespace prebake::containerd
