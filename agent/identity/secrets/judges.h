#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "agent/identity/secrets/rule.h"

namespace prebake::identity::secrets {

// The judges of the rules: each says whether what a needle pointed at is a secret. Pure.

/// NAME_TOKEN=value in settings. What is commented out does not count: there are the samples of
/// every distribution.
std::string_view judge_setting(const SecretRule& rule, const Candidate& c);

/// "name": "value" anywhere.
std::string_view judge_json_member(const SecretRule& rule, const Candidate& c);

/// A name, and a value of an exact form.
std::string_view judge_named_form(const SecretRule& rule, const Candidate& c);

/// 40 characters, not less and not more.
std::string_view judge_aws_secret(const SecretRule& rule, const Candidate& c);

std::string_view judge_registry_auth(const SecretRule& rule, const Candidate& c);

/// Authorization: Basic ..., authorization = "Bearer ...".
std::string_view judge_authorization(const SecretRule& rule, const Candidate& c);

/// machine M login L password P
std::string_view judge_netrc(const SecretRule& rule, const Candidate& c);

/// scheme://user:password@host
std::string_view judge_url(const SecretRule& rule, const Candidate& c);

/// A prefix of its issuer's, and enough characters of its alphabet.
std::string_view judge_token(const SecretRule& rule, const Candidate& c);

/// xoxb-1234567890-...
std::string_view judge_slack(const SecretRule& rule, const Candidate& c);

/// The id of a long-lived key (AKIA) counts even alone: whose key it is betrays the builder, and
/// its other half is seldom far. That of a temporary one (ASIA) stands in every signed URL, and
/// counts with its secret only.
std::string_view judge_aws_id(const SecretRule& rule, const Candidate& c);

/// header.payload.signature in base64url (RFC 7515); the header is JSON that names an algorithm.
std::string_view judge_jwt(const SecretRule& rule, const Candidate& c);

/// The signature of a shared access signature, beside its version.
std::string_view judge_azure_sas(const SecretRule& rule, const Candidate& c);

/// -----BEGIN ... PRIVATE KEY-----; an encrypted one counts, too: its password is a word.
std::string_view judge_pem(const SecretRule& rule, const Candidate& c);

/// A whole PEM file in base64, as kubeconfig files and Kubernetes secrets hold keys.
std::string_view judge_pem_in_base64(const SecretRule& rule, const Candidate& c);

/// Private-Lines: 14, and then those lines.
std::string_view judge_putty(const SecretRule& rule, const Candidate& c);

/// Not a judge, because such a line holds no word to look for: where the passwords are in a
/// .pgpass file (PostgreSQL, "The Password File").
std::vector<std::size_t> passwords_in_pgpass(std::string_view text, std::size_t from,
                                             std::size_t to);

}  // namespace prebake::identity::secrets
