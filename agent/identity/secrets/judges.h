#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "agent/identity/secrets/rule.h"

namespace prebake::identity::secrets {

// The judges of the rules: each decides whether a candidate is a secret. All pure.

/// NAME_TOKEN=value in settings, `"name" => "value"` and PHP's define('NAME', 'value'). Comments do
/// not count: distributions put samples there.
std::string_view judge_setting(const SecretRule& rule, const Candidate& c);

/// "name": "value" anywhere.
std::string_view judge_json_member(const SecretRule& rule, const Candidate& c);

/// A name, and a value in an exact format.
std::string_view judge_named_format(const SecretRule& rule, const Candidate& c);

/// Exactly 40 characters.
std::string_view judge_aws_secret(const SecretRule& rule, const Candidate& c);

std::string_view judge_registry_auth(const SecretRule& rule, const Candidate& c);

/// Authorization: Basic ..., authorization = "Bearer ...".
std::string_view judge_authorization(const SecretRule& rule, const Candidate& c);

/// machine M login L password P
std::string_view judge_netrc(const SecretRule& rule, const Candidate& c);

/// scheme://user:password@host
std::string_view judge_url(const SecretRule& rule, const Candidate& c);

/// The issuer's prefix, and enough characters of its alphabet.
std::string_view judge_token(const SecretRule& rule, const Candidate& c);

/// sk-...T3BlbkFJ...: the middle says "OpenAI" in base64.
std::string_view judge_openai(const SecretRule& rule, const Candidate& c);

/// A cephx key: its type, when it was made, its length and its bytes, in base64.
std::string_view judge_ceph(const SecretRule& rule, const Candidate& c);

/// xoxb-1234567890-...
std::string_view judge_slack(const SecretRule& rule, const Candidate& c);

/// The ID of a long-lived key (AKIA) counts alone: it identifies the builder, and the secret is
/// often near. The ID of a temporary key (ASIA) is in every signed URL and counts only with its
/// secret.
std::string_view judge_aws_id(const SecretRule& rule, const Candidate& c);

/// header.payload.signature in base64url (RFC 7515); the header is JSON that names an algorithm.
std::string_view judge_jwt(const SecretRule& rule, const Candidate& c);

/// The signature of a shared access signature, beside its version.
std::string_view judge_azure_sas(const SecretRule& rule, const Candidate& c);

/// -----BEGIN ... PRIVATE KEY-----. An encrypted key counts, too: its password may be a word.
std::string_view judge_pem(const SecretRule& rule, const Candidate& c);

/// A whole PEM file in base64, as in kubeconfig files and Kubernetes secrets.
std::string_view judge_pem_in_base64(const SecretRule& rule, const Candidate& c);

/// Private-Lines: 14, and then those lines.
std::string_view judge_putty(const SecretRule& rule, const Candidate& c);

/// The offsets of passwords in a .pgpass file (PostgreSQL, "The Password File"). Not a judge,
/// because such a line contains no needle.
std::vector<std::size_t> passwords_in_pgpass(std::string_view text, std::size_t from,
                                             std::size_t to);

/// The offsets of keys in WireGuard's directory: `wg genkey` writes a file with nothing else. Not a
/// judge, for the same reason.
std::vector<std::size_t> keys_of_wireguard(std::string_view text, std::size_t from, std::size_t to);

/// The offset of the cookie in Erlang's .erlang.cookie, which is its first line. Not a judge, for
/// the same reason.
std::vector<std::size_t> cookie_of_erlang(std::string_view text, std::size_t from, std::size_t to);

/// The offsets of agents' keys in client.keys of Wazuh and OSSEC: number, name, address, key. Not a
/// judge, for the same reason.
std::vector<std::size_t> keys_of_wazuh(std::string_view text, std::size_t from, std::size_t to);

/// The offsets of tokens in kube-apiserver's token file (Kubernetes, "Static token file"). Not a
/// judge, for the same reason.
std::vector<std::size_t> tokens_in_token_file(std::string_view text, std::size_t from,
                                              std::size_t to);

}  // namespace prebake::identity::secrets
