#pragma once

#include <string>
#include <string_view>

namespace prebake::http {

/// The parts of an absolute http or https URL that a connection and its request need.
struct Url {
    bool tls = true;
    std::string host;         ///< lower case; an IPv6 address without its brackets
    std::string port;         ///< the scheme's own if none was written
    std::string host_header;  ///< as a Host header says it: brackets kept, a default port left out
    std::string target;       ///< path and query, at least "/"

    /// "host:port" with brackets where needed: what errors name, and what decides about "another
    /// host".
    std::string authority() const;
    /// Scheme and authority without path or query.
    std::string origin() const { return (tls ? "https://" : "http://") + authority(); }
};

/// @throws Error usage; it quotes nothing of the URL, whose query may be a signature.
Url parse_url(std::string_view text);

/// What a Location header means at `base` (RFC 3986 section 5).
/// @throws Error corrupt if it is malformed or neither http nor https.
std::string resolve_location(std::string_view base, std::string_view location);

/// `text` percent-encoded so that it may stand in a query or in a form.
std::string percent_encode(std::string_view text);

}  // namespace prebake::http
