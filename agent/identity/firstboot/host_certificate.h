#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/machine/root.h"

namespace prebake::identity::firstboot {

enum class CertificateKind { self_signed, request };

/// A TLS key for the host, and a certificate or a certificate signing request (PKCS #10) for it.
struct HostCertificateOptions {
    std::string key_file;          ///< inside the root; empty: no key is created
    std::string certificate_file;  ///< for the certificate or the request
    CertificateKind kind = CertificateKind::self_signed;
    /// Templates, as for the host name.
    std::string common_name = "{hostname}";
    std::vector<std::string> names{"{hostname}", "{instance_id}", "{local_ipv4}"};
    std::chrono::hours valid_for{24 * 365};

    bool operator==(const HostCertificateOptions&) const = default;
};

/// The names in a certificate, without templates. Addresses become IP entries, other names DNS
/// entries.
struct CertificateSubject {
    std::string common_name;
    std::vector<std::string> names;
};

struct KeyAndCertificate {
    std::string key;          ///< PKCS #8 in PEM: ECDSA P-256
    std::string certificate;  ///< X.509 or PKCS #10 in PEM
};

/// Valid from one hour before `now`, because clocks differ. @throws Error internal.
KeyAndCertificate make_key_and_certificate(
    const CertificateSubject& subject, CertificateKind kind, std::chrono::hours valid_for,
    std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

/// The same for an existing private key of any algorithm.
/// @throws Error corrupt if `key` is not an unencrypted private key; internal.
std::string make_certificate(
    const std::string& key, const CertificateSubject& subject, CertificateKind kind,
    std::chrono::hours valid_for,
    std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

/// True if the certificate or request in `certificate` belongs to the private key in `key`.
bool belongs_to(const std::string& certificate, const std::string& key);

/// SHA-256 over the DER of a certificate or request, lower-case hex; empty if it is neither.
std::string certificate_fingerprint(const std::string& pem);

}  // namespace prebake::identity::firstboot
