#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace prebake::http {

/// An absolute http or https URL, in the parts that a connection and a request need.
struct Url {
    bool tls = true;
    std::string host;         ///< lower case; an IPv6 address without its brackets
    std::string port;         ///< the default of the scheme if the URL has none
    std::string host_header;  ///< for the Host header: with brackets, without a default port
    std::string target;       ///< path and query, at least "/"
    /// "user:password", percent-decoded, if the URL has user information ("https://user@host/").
    std::optional<std::string> user = {};

    /// "host:port", with brackets where needed: for errors, and to compare hosts.
    std::string authority() const;
    /// Scheme and authority without path or query.
    std::string origin() const { return (tls ? "https://" : "http://") + authority(); }
};

/// @throws Error usage, which does not quote the URL: its query may be a signature.
Url parse_url(std::string_view text);

/// The URL that `reference` names in a response to a request for `base` (RFC 3986 section 5): in a
/// Location header, or as a token service. Its path and query stay as they are, byte for byte,
/// because they may be signed; only without a host are dot segments removed. Characters that a URL
/// must not have are percent-encoded. Without a fragment, which is never sent.
/// @throws Error corrupt, which does not quote it, if it is malformed or neither http nor https.
std::string resolve_reference(std::string_view base, std::string_view reference);

/// `text` percent-encoded for a query or a form.
std::string percent_encode(std::string_view text);

/// The reverse. Nothing if a '%' does not begin an encoded byte.
std::optional<std::string> percent_decode(std::string_view text);

}  // namespace prebake::http
