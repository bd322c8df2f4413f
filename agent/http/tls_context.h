#pragma once

#include <openssl/types.h>

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "agent/http/message.h"

namespace prebake::http {

/// OpenSSL's context for some TlsSettings: TLS 1.2 and later.
using TlsContext = std::shared_ptr<SSL_CTX>;

/// Reads the files of the settings.
/// @throws Error usage that names the file and what is wrong with it: it cannot be read, is not in
/// PEM form, has no certificate or no key, a key that is encrypted or belongs to another
/// certificate. io if the system's trust store cannot be loaded.
TlsContext make_tls_context(const TlsSettings& settings);

/// Contexts for the settings that were used last: loading the system's certificates takes
/// milliseconds. A changed file is noticed only by a new object. Thread-safe.
class TlsContexts {
  public:
    /// @throws Error like make_tls_context().
    TlsContext get(TlsSettings settings);

  private:
    std::mutex mutex_;
    std::deque<std::pair<TlsSettings, TlsContext>> latest_;  ///< the last one was used last
};

/// What a handshake showed about the server, for the message if it fails.
struct TlsFindings {
    using Time = std::chrono::system_clock::time_point;

    long verdict = 0;  ///< X509_V_OK, or what is wrong with the certificate below (X509_V_ERR_...)
    bool is_server = true;  ///< that certificate is the server's own, not one of a CA above it
    std::string subject;
    std::string issuer;
    Time valid_from;
    Time valid_until;
    std::vector<std::string> names;  ///< of the server's own certificate: at most kMaxTlsNames
    std::size_t further_names = 0;
    bool wants_certificate = false;  ///< the server asked for a client certificate
};

inline constexpr std::size_t kMaxTlsNames = 5;

/// A client's side of a connection to `host`: sends the name (SNI), and requires it in the
/// certificate if the context verifies certificates. The caller owns it.
/// @throws Error internal
SSL* make_tls_session(SSL_CTX& context, const std::string& host);

/// What the handshake of a make_tls_session() has shown so far.
const TlsFindings& findings_of(const SSL& session);

}  // namespace prebake::http
