#include "agent/identity/secrets/rules.h"

#include "agent/identity/secrets/judges.h"

namespace prebake::identity::secrets {

const std::vector<SecretRule>& secret_rules() {
    static const std::vector<SecretRule> rules{
        {"-----BEGIN ", "private key (PEM)", judge_pem},
        {"LS0tLS1CRUdJTi", "private key (PEM in base64)", judge_pem_in_base64, Alphabet::base64,
         100},
        {"Private-Lines: ", "private key (PuTTY)", judge_putty},
        {"AGE-SECRET-KEY-1", "private key (age)", judge_token, Alphabet::upper_digits, 50},

        {"auth", "registry password", judge_registry_auth, Alphabet::base64, 6},
        {"eyJhdXRocyI6", "registry password (in base64)", judge_token, Alphabet::base64, 40},
        {"identitytoken", "registry token", judge_json_member, Alphabet::alphanumeric, 16},
        {"registrytoken", "registry token", judge_json_member, Alphabet::alphanumeric, 16},
        {"authorization", "authorization header", judge_authorization, Alphabet::token, 16},

        {"AKIA", "AWS access key id", judge_aws_id, Alphabet::upper_digits},
        {"ASIA", "AWS access key id", judge_aws_id, Alphabet::upper_digits},
        {"secret_access_key", "AWS secret access key", judge_aws_secret, Alphabet::base64, 40},
        {"secretaccesskey", "AWS secret access key", judge_aws_secret, Alphabet::base64, 40},
        {"session_token", "AWS session token", judge_named_format, Alphabet::base64, 100},
        {"sessiontoken", "AWS session token", judge_named_format, Alphabet::base64, 100},
        {"security_token", "AWS session token", judge_named_format, Alphabet::base64, 100},
        {"IQoJb3JpZ2lu", "AWS session token", judge_token, Alphabet::url_encoded, 100},
        {"FwoGZXIvYXdz", "AWS session token", judge_token, Alphabet::url_encoded, 100},

        {"refresh_token", "OAuth token", judge_json_member, Alphabet::alphanumeric, 20},
        {"refreshtoken", "OAuth token", judge_json_member, Alphabet::alphanumeric, 20},
        {"access_token", "OAuth token", judge_json_member, Alphabet::alphanumeric, 20},
        {"accesstoken", "OAuth token", judge_json_member, Alphabet::alphanumeric, 20},
        {"client_secret", "OAuth client secret", judge_json_member, Alphabet::alphanumeric, 16},
        {"clientsecret", "OAuth client secret", judge_json_member, Alphabet::alphanumeric, 16},
        {"ya29.", "Google access token", judge_token, Alphabet::name, 30},
        {"AccountKey=", "Azure storage key", judge_token, Alphabet::base64, 86},
        {"SharedAccessKey=", "Azure shared access key", judge_token, Alphabet::base64, 43},
        {"sig=", "Azure shared access signature", judge_azure_sas, Alphabet::url_encoded, 43},

        {"ghp_", "GitHub token", judge_token, Alphabet::alphanumeric, 36},
        {"gho_", "GitHub token", judge_token, Alphabet::alphanumeric, 36},
        {"ghs_", "GitHub token", judge_token, Alphabet::alphanumeric, 36},
        {"ghu_", "GitHub token", judge_token, Alphabet::alphanumeric, 36},
        {"ghr_", "GitHub token", judge_token, Alphabet::alphanumeric, 36},
        {"github_pat_", "GitHub token", judge_token, Alphabet::word, 40},
        {"glpat-", "GitLab token", judge_token, Alphabet::name, 20},
        {"glrt-", "GitLab token", judge_token, Alphabet::name, 20},
        {"xox", "Slack token", judge_slack, Alphabet::name, 20},
        {"npm_", "npm token", judge_token, Alphabet::alphanumeric, 36},
        {"pypi-AgE", "PyPI token", judge_token, Alphabet::name, 50},
        {"dckr_pat_", "Docker Hub token", judge_token, Alphabet::name, 20},
        {"dckr_oat_", "Docker Hub token", judge_token, Alphabet::name, 20},
        {"hf_", "Hugging Face token", judge_token, Alphabet::alphanumeric, 34},
        {"hvs.", "Vault token", judge_token, Alphabet::name, 24},
        {"hvb.", "Vault token", judge_token, Alphabet::name, 24},
        {".atlasv1.", "Terraform token", judge_token, Alphabet::name, 40},
        {"tskey-", "Tailscale key", judge_token, Alphabet::name, 20},
        {"dop_v1_", "DigitalOcean token", judge_token, Alphabet::alphanumeric, 64},
        {"sk_live_", "Stripe key", judge_token, Alphabet::alphanumeric, 24},
        // Of a k3s or RKE2 server: K10<hash of its CA>::<user>:<password>.
        {"::server:", "k3s token", judge_token, Alphabet::alphanumeric, 16},
        {"::node:", "k3s token", judge_token, Alphabet::alphanumeric, 16},
        {"eyJ", "JSON web token", judge_jwt},

        {"://", "password in a URL", judge_url},
        {"password", "password (netrc)", judge_netrc},
        {"password", "password in a setting", judge_setting},
        {"passwd", "password in a setting", judge_setting},
        {"passphrase", "password in a setting", judge_setting},
        {"psk", "password in a setting", judge_setting},
        {"token", "token in a setting", judge_setting},
        {"secret", "secret in a setting", judge_setting},
        {"credentials", "secret in a setting", judge_setting},
        {"secret_key", "key in a setting", judge_setting},
        {"secret-key", "key in a setting", judge_setting},
        {"secretkey", "key in a setting", judge_setting},
        {"access_key", "key in a setting", judge_setting},
        {"access-key", "key in a setting", judge_setting},
        {"accesskey", "key in a setting", judge_setting},
        {"api_key", "key in a setting", judge_setting},
        {"api-key", "key in a setting", judge_setting},
        {"apikey", "key in a setting", judge_setting},
        {"private_key", "key in a setting", judge_setting},
        {"private-key", "key in a setting", judge_setting},
        {"privatekey", "key in a setting", judge_setting},
    };
    return rules;
}

}  // namespace prebake::identity::secrets
