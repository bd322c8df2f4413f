#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/http/tls_context.h"

namespace prebake::http {

/// The other side of a TLS connection, as errors name it.
struct TlsParty {
    std::string name;               ///< "registry.example:443", "the proxy proxy.example:3129"
    TlsPlace place;                 ///< of the settings for it; empty for a proxy
    bool gets_certificate = false;  ///< we have a client certificate for it
};

/// The error for a handshake, or a connection, that failed because of TLS. `failure` is OpenSSL's
/// code (ERR_get_error(3)); 0 if the server just closed the connection. `now` is the time of this
/// machine's clock. Codes: permission_denied (the server's certificate is not trusted),
/// unauthenticated (the server wants another client certificate), unsupported (it has only versions
/// before TLS 1.2), otherwise unavailable: also for plain HTTP, so that callers may try that.
Error tls_failure(const TlsParty& party, const TlsFindings& findings, unsigned long failure,
                  TlsFindings::Time now);

}  // namespace prebake::http
