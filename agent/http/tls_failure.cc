#include "agent/http/tls_failure.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <ctime>

#include "agent/base/text.h"

namespace prebake::http {
namespace {

std::string text_of_time(TlsFindings::Time time) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    char text[sizeof "2026-01-31 12:00 UTC" + 8];  // room for years with more digits
    return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc));
}

std::string setting_in(const TlsParty& party, const std::string& key) {
    const std::string quoted = "\"" + key + "\"";
    return party.place.host.empty()
               ? quoted + " in " + party.place.hosts_file + " (above all tables)"
               : quoted + " of [host.\"" + party.place.host + "\"] in " + party.place.hosts_file;
}

std::string way_to_trust(const TlsParty& party) {
    const std::string system = "the system's trust store (update-ca-certificates, update-ca-trust)";
    return party.place.hosts_file.empty()
               ? "add the CA that signed it to " + system
               : "name the CA that signed it as " + setting_in(party, "ca") + ", or add it to " +
                     system;
}

std::string names_of(const TlsFindings& findings) {
    std::string text = joined(findings.names);
    if (findings.further_names > 0) {
        text += " and " + std::to_string(findings.further_names) + " more";
    }
    return text;
}

/// What is wrong with a certificate, and what to do about it.
struct Explanation {
    std::string problem;
    std::string next_step;
};

/// `subject` begins the sentence: "it", or the CA whose certificate it is about.
Explanation explain_dates(const TlsFindings& findings, const std::string& subject,
                          TlsFindings::Time now) {
    const bool is_expired = findings.verdict == X509_V_ERR_CERT_HAS_EXPIRED;
    const std::string when = is_expired
                                 ? " expired at " + text_of_time(findings.valid_until)
                                 : " is not valid before " + text_of_time(findings.valid_from);
    return {.problem = subject + when + ", and the clock of this machine says " + text_of_time(now),
            .next_step =
                "if the clock is wrong, set it (timedatectl); otherwise the certificate "
                "has to be replaced"};
}

Explanation explain(const TlsFindings& findings, const TlsParty& party, TlsFindings::Time now) {
    switch (findings.verdict) {
        case X509_V_ERR_CERT_HAS_EXPIRED:
        case X509_V_ERR_CERT_NOT_YET_VALID:
            return explain_dates(findings,
                                 findings.is_server
                                     ? "it"
                                     : "the certificate of its CA \"" + findings.subject + "\"",
                                 now);
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH:
            return {
                .problem = "it is made for " + names_of(findings),
                .next_step = "use a name that it is made for, or have the certificate replaced"};
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
            return {.problem = "it is self-signed",
                    .next_step = party.place.hosts_file.empty()
                                     ? way_to_trust(party)
                                     : "name that certificate as " + setting_in(party, "ca")};
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
            return {.problem = "this machine does not know its CA \"" + findings.subject + "\"",
                    .next_step = way_to_trust(party)};
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
            return {.problem = "this machine does not know its CA \"" + findings.issuer +
                               "\", and the server does not send that CA's certificate",
                    .next_step = way_to_trust(party)};
        default:  // dozens, named by OpenSSL
            return {.problem = X509_verify_cert_error_string(findings.verdict),
                    .next_step = "have the certificate replaced"};
    }
}

/// The alert that the server sent (RFC 8446 section 6); 0 if it sent none.
int alert_in(unsigned long failure) {
    constexpr int kMaxAlert = 255;
    const int reason = ERR_GET_LIB(failure) == ERR_LIB_SSL ? ERR_GET_REASON(failure) : 0;
    const int alert = reason - SSL_AD_REASON_OFFSET;
    return alert > 0 && alert <= kMaxAlert ? alert : 0;
}

/// Whether the alert can be about the client certificate, or about the lack of one.
bool is_about_certificate(int alert) {
    switch (alert) {
        case SSL_AD_HANDSHAKE_FAILURE:
        case SSL_AD_BAD_CERTIFICATE:
        case SSL_AD_UNSUPPORTED_CERTIFICATE:
        case SSL_AD_CERTIFICATE_REVOKED:
        case SSL_AD_CERTIFICATE_EXPIRED:
        case SSL_AD_CERTIFICATE_UNKNOWN:
        case SSL_AD_UNKNOWN_CA:
        case SSL_AD_ACCESS_DENIED:
        case SSL_AD_DECRYPT_ERROR:
        case SSL_AD_CERTIFICATE_REQUIRED:
            return true;
        default:
            return false;
    }
}

Error wants_certificate(const TlsParty& party, const std::string& reason) {
    const std::string where =
        party.place.hosts_file.empty() ? "" : "name one as " + setting_in(party, "client");
    if (party.gets_certificate) {
        return Error(Errc::unauthenticated,
                     party.name + " refuses the client certificate: " + reason,
                     where.empty() ? "" : where + " that is made for this server");
    }
    return Error(Errc::unauthenticated,
                 party.name + " wants a client certificate, and there is none for it", where);
}

bool is_no_tls(int reason) {
    return reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
           reason == SSL_R_PACKET_LENGTH_TOO_LONG;
}

}  // namespace

Error tls_failure(const TlsParty& party, const TlsFindings& findings, unsigned long failure,
                  TlsFindings::Time now) {
    if (findings.verdict != X509_V_OK) {
        const Explanation explanation = explain(findings, party, now);
        return Error(Errc::permission_denied,
                     "the certificate of " + party.name + " is not trusted: " + explanation.problem,
                     explanation.next_step);
    }
    const char* const words = ERR_reason_error_string(failure);
    const std::string reason = words == nullptr ? "it closed the connection" : words;
    const int alert = alert_in(failure);
    const bool is_certificate = failure == 0 || is_about_certificate(alert);
    if (alert == SSL_AD_CERTIFICATE_REQUIRED || (findings.wants_certificate && is_certificate)) {
        return wants_certificate(party, reason);
    }
    const int code = ERR_GET_LIB(failure) == ERR_LIB_SSL ? ERR_GET_REASON(failure) : 0;
    if (is_no_tls(code)) {
        return Error(Errc::unavailable,
                     party.name + " does not speak TLS there, but perhaps plain HTTP: " + reason,
                     party.place.hosts_file.empty()
                         ? "check its port, and whether its URL should begin with http://"
                         : "check its port; without TLS, its URL has to begin with http:// in " +
                               party.place.hosts_file);
    }
    if (code == SSL_R_UNSUPPORTED_PROTOCOL || alert == SSL_AD_PROTOCOL_VERSION) {
        return Error(Errc::unsupported, party.name + " has no TLS of version 1.2 or later",
                     "let it offer TLS 1.2");
    }
    return Error(Errc::unavailable, "the TLS connection to " + party.name + " failed: " + reason);
}

}  // namespace prebake::http
