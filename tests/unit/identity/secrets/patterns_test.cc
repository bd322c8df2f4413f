#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "agent/identity/secrets/needle_finder.h"
#include "agent/identity/secrets/patterns.h"
#include "agent/identity/secrets/rules.h"
#include "tests/unit/identity/secrets/planted_secrets.h"

namespace prebake::identity::secrets {
namespace {

using tests::armour;
using tests::base64_of;
using tests::base64url_of;
using tests::noise;
using tests::pem;
using tests::private_key_of;

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kUpper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

const std::string kKey = private_key_of();
const std::string kAwsId =
    "AK"
    "IA" +
    noise(16, kUpper);
const std::string kAwsTemporaryId =
    "AS"
    "IA" +
    noise(16, kUpper);
const std::string kAwsSecret = noise(40);
const std::string kGitHub =
    "gh"
    "p_" +
    noise(36);

std::string jwt() {
    return base64url_of(R"({"alg":"RS256","kid":"1"})") + "." +
           base64url_of(R"({"sub":"builder"})") + "." + noise(86);
}

std::string list_of(const std::vector<SecretInText>& found) {
    std::string text;
    for (const SecretInText& secret : found) {
        text += (text.empty() ? "" : ", ") + std::to_string(secret.line) + " " +
                std::string(secret.kind);
    }
    return text;
}

struct Row {
    std::string name;
    std::string path;
    std::string text;
    std::string expected;
};

TEST_CASE("secrets are recognized") {
    const std::vector<Row> rows{
        // Private keys.
        {"RSA", "/root/a.pem", pem(private_key_of("RSA")), "1 private key (PEM)"},
        {"EC, after its parameters", "/root/a.pem",
         armour("BEGIN", "EC PARAMETERS") + "\nBggqhkjOPQMBBw==\n" +
             armour("END", "EC PARAMETERS") + "\n" + pem(private_key_of("EC")),
         "4 private key (PEM)"},
        {"DSA", "/opt/a", pem(private_key_of("DSA")), "1 private key (PEM)"},
        {"PKCS #8", "/etc/ssl/private/a.key", pem(kKey), "1 private key (PEM)"},
        {"PKCS #8, encrypted", "/etc/a.key", pem(private_key_of("ENCRYPTED")),
         "1 private key (PEM)"},
        {"Ed25519 has one line", "/etc/a.key",
         armour("BEGIN", kKey) + "\nMC4CAQAwBQYDK2VwBCIEI" + noise(43) + "\n" + armour("END", kKey),
         "1 private key (PEM)"},
        {"encrypted in the old way", "/root/id_rsa",
         pem(private_key_of("RSA"), "\n",
             "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,8D1A2B\n\n"),
         "1 private key (PEM)"},
        {"OpenSSH", "/home/a/.ssh/id_ed25519", pem(private_key_of("OPENSSH")),
         "1 private key (OpenSSH)"},
        {"PGP", "/root/backup.asc",
         pem("PGP " + kKey + " BLOCK", "\n", "Version: GnuPG v2\nComment: mine\n\n"),
         "1 private key (PGP)"},
        {"PuTTY", "/root/a.ppk",
         "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPublic-Lines: 2\n" + noise(64) +
             "\n" + noise(20) +
             "\nPrivate"
             "-Lines: 1\n" +
             noise(64) + "\n",
         "6 private key (PuTTY)"},
        {"age", "/root/key.txt",
         "# created: today\nAGE-SECRET"
         "-KEY-1" +
             noise(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),
         "2 private key (age)"},
        {"lines end as in DOS", "/root/a.pem", pem(kKey, "\r\n"), "1 private key (PEM)"},
        {"a service account of GCP", "/root/sa.json",
         "{\n\"type\": \"service_account\",\n\"private_key\": \"" + pem(kKey, "\\n") + "\"\n}",
         "3 private key (PEM)"},
        {"JSON in JSON", "/root/state", R"({"key": "{\"private_key\": \")" + pem(kKey, R"(\\n)"),
         "1 private key (PEM)"},
        {"one line of an environment file", "/etc/default/app",
         "A=1\nTLS_KEY=\"" + pem(kKey, "\\n") + "\"\n", "2 private key (PEM)"},
        {"blanks instead of line ends", "/etc/default/app", "KEY='" + pem(kKey, " ") + "'",
         "1 private key (PEM)"},
        {"indented in YAML", "/var/lib/cloud/instances/i-1/user-data.txt",
         "write_files:\n- content: |\n    " + pem(kKey, "\n    "), "3 private key (PEM)"},
        {"in base64, in a kubeconfig", "/root/.kube/config",
         "users:\n- user:\n    client-key-data: " + base64_of(pem(private_key_of("EC"))),
         "3 private key (PEM in base64)"},
        {"two keys", "/root/both.pem", pem(kKey) + pem(private_key_of("OPENSSH")),
         "1 private key (PEM), 7 private key (OpenSSH)"},
        {"no end of line before it, no end of file behind it", "/root/x",
         "junk" + armour("BEGIN", kKey) + "\n" + noise(64), "1 private key (PEM)"},

        // Registries.
        {"docker login", "/root/.docker/config.json",
         "{\"auths\": {\"registry\": {\n\"auth\": \"" + base64_of("builder:hunter2hunter2") +
             "\"}}}",
         "2 registry password"},
        {"ECR", "/var/lib/kubelet/config.json",
         "{\"auths\":{\"r\":{\"auth\":\"" + base64_of("AWS:eyJwYXlsb2FkIjoi" + noise(200)) +
             "\"}}}",
         "1 registry password"},
        {"dockercfg", "/root/.dockercfg",
         "{\"https://registry/v1/\": {\"auth\": \"" + base64_of("me:swordfish") + "\"}}",
         "1 registry password"},
        {"identity token", "/root/.docker/config.json",
         "{\"auths\":{\"r\":{\"auth\":\"\",\n \"identitytoken\": \"" + noise(40) + "\"}}}",
         "2 registry token"},
        {"user name and password", "/home/a/.docker/config.json",
         R"({"auths":{"r":{"username":"u","password":"pw-19-zebra"}}})", "1 password in a setting"},
        {"ECS", "/etc/ecs/ecs.config",
         "ECS_CLUSTER=c\nECS_ENGINE_AUTH_DATA={\"r\":{\"username\":\"u\",\"password\":"
         "\"pw-19-zebra\"}}",
         "2 password in a setting"},
        {"escaped JSON", "/opt/app/state.bin",
         R"({\"auths\":{\"r\":{\"auth\":\")" + base64_of("u:swordfish9") + R"(\"}}})",
         "1 registry password"},
        {"a Kubernetes secret", "/root/pull.yaml",
         "data:\n  .dockerconfigjson: " +
             base64_of(R"({"auths":{"r":{"auth":")" + base64_of("u:swordfish9") + "\"}}}"),
         "2 registry password (in base64)"},
        {"containerd's config.toml", "/etc/containerd/config.toml",
         "[plugins.x.registry.configs.\"r\".auth]\n  username = \"u\"\n  password = "
         "\"pw-19-zebra\"",
         "3 password in a setting"},
        {"containerd's hosts.toml, basic", "/etc/containerd/certs.d/r/hosts.toml",
         "[host.\"https://r\".header]\n  Authorization = [\"Basic " + base64_of("u:swordfish9") +
             "\"]",
         "2 authorization header"},
        {"containerd's hosts.toml, bearer", "/etc/containerd/certs.d/r/hosts.toml",
         "[host.\"https://r\".header]\n  authorization = \"Bearer " + noise(30) + "\"",
         "2 authorization header"},
        {"containerd's hosts.toml, a header of its own", "/etc/containerd/certs.d/r/hosts.toml",
         "[host.\"https://r\".header]\n  X-Api-Key = \"" + noise(12) + "\"", "2 key in a setting"},

        // Clouds.
        {"AWS credentials", "/root/.aws/credentials",
         "[default]\naws_access_key_id = " + kAwsId + "\naws_secret_access_key = " + kAwsSecret +
             "\n",
         "2 AWS secret access key, 3 AWS secret access key"},
        {"AWS, no secret near", "/var/lib/app/log", "signed by " + kAwsId + ".",
         "1 AWS access key id"},
        {"AWS, temporary, with its secret", "/home/a/.passwd-s3fs",
         kAwsTemporaryId + ":" + kAwsSecret, "1 AWS secret access key"},
        {"AWS in JSON", "/var/lib/amazon/x",
         "{\"SecretAccessKey\" : \"" + kAwsSecret + "\",\n\"SessionToken\":\"" + noise(300) + "\"}",
         "1 AWS secret access key, 2 AWS session token"},
        {"AWS in an environment", "/opt/app/run",
         "export AWS_SECRET_ACCESS_KEY='" + kAwsSecret + "'", "1 AWS secret access key"},
        {"AWS session token in a signed URL", "/root/.wget-log",
         "https://b/?X-Amz-Security-Token=IQoJb3Jp"
         "Z2lu" +
             noise(300),
         "1 AWS session token"},
        {"application default credentials of GCP",
         "/root/.config/gcloud/application_default_credentials.json",
         "{\n\"client_secret\": \"" + noise(24) + "\",\n\"refresh_token\": \"1//" + noise(60) +
             "\"}",
         "2 OAuth client secret, 3 OAuth token"},
        {"inside a database", "/root/.config/gcloud/credentials.db",
         std::string("SQLite format 3\0\1\2", 18) + "{\"refresh_token\": \"1//" + noise(60) + "\"}",
         "1 OAuth token"},
        {"Google access token", "/root/x",
         "ya"
         "29." +
             noise(120),
         "1 Google access token"},
        {"Azure storage", "/opt/a/x",
         "DefaultEndpointsProtocol=https;AccountName=a;Account"
         "Key=" +
             noise(86) + "==;",
         "1 Azure storage key"},
        {"Azure SAS", "/opt/a/x", "https://a/c?sv=2022-11-02&se=2025&sig=" + noise(43) + "%3D",
         "1 Azure shared access signature"},
        {"Azure service principal", "/root/.azure/x.json",
         "{\"tenantId\": \"t\",\n\"clientSecret\": \"" + noise(40) + "\"}",
         "2 OAuth client secret"},

        // Tokens.
        {"GitHub", "/root/x", "token " + kGitHub, "1 GitHub token"},
        {"GitHub, of an app", "/root/x",
         "gh"
         "s_" +
             noise(36),
         "1 GitHub token"},
        {"GitHub, fine-grained", "/root/x",
         "github"
         "_pat_" +
             noise(22) + "_" + noise(59),
         "1 GitHub token"},
        {"GitLab", "/root/x",
         "gl"
         "pat-" +
             noise(20),
         "1 GitLab token"},
        {"Slack", "/root/x",
         "xo"
         "xb-123456789012-" +
             noise(24),
         "1 Slack token"},
        {"npm", "/root/.npmrc",
         "//registry.npmjs.org/:_authToken=np"
         "m_" +
             noise(36),
         "1 npm token"},
        {"npm, another registry", "/root/.npmrc",
         "; mine\n//registry.corp/:_authToken=" + noise(30), "2 token in a setting"},
        {"PyPI", "/root/x",
         "py"
         "pi-AgE" +
             noise(80),
         "1 PyPI token"},
        {"Docker Hub", "/root/x",
         "dckr"
         "_pat_" +
             noise(27),
         "1 Docker Hub token"},
        {"Hugging Face", "/root/.cache/huggingface/token",
         "h"
         "f_" +
             noise(34),
         "1 Hugging Face token"},
        {"Vault", "/root/.vault-token",
         "hv"
         "s." +
             noise(90),
         "1 Vault token"},
        {"Terraform", "/root/.terraformrc",
         noise(14) +
             ".atlas"
             "v1." +
             noise(60),
         "1 Terraform token"},
        {"Tailscale", "/root/x",
         "ts"
         "key-auth-" +
             noise(12) + "-" + noise(30),
         "1 Tailscale key"},
        {"JSON web token", "/var/lib/kubelet/pods/x/token", jwt(), "1 JSON web token"},
        {"JSON web token behind a name", "/root/x", "token=" + jwt(), "1 JSON web token"},
        {"kubeconfig with a bootstrap token", "/etc/kubernetes/bootstrap-kubelet.conf",
         "users:\n- user:\n    token: abcdef." + noise(16, kHex), "3 token in a setting"},

        // Settings.
        {"environment file", "/etc/default/app", "DB_HOST=db\nDB_PASSWORD=pw-19-zebra\n",
         "2 password in a setting"},
        {"unit", "/etc/systemd/system/app.service",
         "[Service]\nEnvironment=\"API_TOKEN=" + noise(20) + "\" MODE=x\n", "2 token in a setting"},
        {"drop-in", "/etc/systemd/system/app.service.d/10-x.conf",
         "[Service]\nEnvironment=DD_API_KEY=" + noise(32, kHex), "2 key in a setting"},
        {"/etc/environment", "/etc/environment", "VAULT_SECRET='" + noise(20) + "'",
         "1 secret in a setting"},
        {"/etc/profile.d", "/etc/profile.d/x.sh", "export APP_CREDENTIALS=" + noise(20),
         "1 secret in a setting"},
        {".env", "/opt/app/.env", "SESSION_SECRET=" + noise(20), "1 secret in a setting"},
        {"shell start-up file", "/home/a/.bashrc", "export NPM_TOKEN=" + noise(20),
         "1 token in a setting"},
        {"shell history", "/home/a/.bash_history", "mysql -u root --password=pw-19-zebra",
         "1 password in a setting"},
        {"Datadog", "/etc/datadog-agent/datadog.yaml", "site: eu\napi_key: " + noise(32, kHex),
         "2 key in a setting"},
        {"my.cnf", "/root/.my.cnf", "[client]\nuser = root\npassword = \"pw 19 zebra\"",
         "3 password in a setting"},
        {"WireGuard", "/etc/wireguard/wg0.conf",
         "[Interface]\nPrivate"
         "Key = " +
             noise(43) + "=\n",
         "2 key in a setting"},
        {"value with a slash at its front", "/etc/default/app", "A_SECRET=/" + noise(30),
         "1 secret in a setting"},
        {"a token in its own variable is one secret", "/etc/default/app", "GITHUB_TOKEN=" + kGitHub,
         "1 GitHub token"},

        // URLs and words.
        {"apt source", "/etc/apt/sources.list.d/corp.list",
         "deb https://ci:swordfish9@apt.corp/debian stable main", "1 password in a URL"},
        {"commented apt source", "/etc/apt/sources.list",
         "# deb https://ci:swordfish9@apt.corp/debian stable main", "1 password in a URL"},
        {"git remote", "/opt/app/.git/config",
         "[remote \"origin\"]\n\turl = https://x-access-token:swordfish9@github.com/a/b",
         "2 password in a URL"},
        {"proxy", "/etc/environment", "https_proxy=http://u:p%40ss9word@proxy:3128/",
         "1 password in a URL"},
        {"no user name", "/etc/app.conf", "redis://:swordfish9@cache:6379/0",
         "1 password in a URL"},
        {"pip", "/root/.config/pip/pip.conf",
         "[global]\nindex-url = https://u:swordfish9@pypi.corp/simple", "2 password in a URL"},
        {"git-credentials", "/root/.git-credentials", "https://me:swordfish9@github.com",
         "1 password in a URL"},
        {"netrc", "/root/.netrc", "machine github.com login me password swordfish9",
         "1 password (netrc)"},
        {"netrc on lines of its own", "/root/.netrc",
         "machine github.com\n  login me\n  password swordfish9", "3 password (netrc)"},
        {"apt", "/etc/apt/auth.conf.d/corp.conf", "machine apt.corp login ci password swordfish9",
         "1 password (netrc)"},
        {"PostgreSQL", "/root/.pgpass", "# mine\ndb.corp:5432:*:builder:swordfish9\n",
         "2 password (PostgreSQL)"},
        {"WireGuard, as wg genkey writes it", "/etc/wireguard/private.key", noise(43) + "=\n",
         "1 private key (WireGuard)"},
        {"WireGuard, a shared key", "/etc/wireguard/wg0.conf",
         "[Peer]\nPresharedKey = " + noise(43) + "=\n", "2 key in a setting"},
        {"OpenAI", "/srv/app", "sk-proj-" + noise(40) + "T3Blbk" + "FJ" + noise(40),
         "1 OpenAI key"},
        {"OpenAI, an old one", "/srv/app", "sk-" + noise(20) + "T3Blbk" + "FJ" + noise(20),
         "1 OpenAI key"},
        {"token of a service account", "/var/run/secrets/kubernetes.io/serviceaccount/token",
         base64url_of(R"({"alg":"RS256","kid":"x"})") + "." +
             base64url_of(R"({"iss":"kubernetes/serviceaccount","kubernetes.io":{}})") + "." +
             noise(342),
         "1 JSON web token"},
        {"curl in a script", "/opt/app/run.sh",
         "curl -H 'Authorization: Basic " + base64_of("ci:swordfish9") + "'",
         "1 authorization header"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(list_of(secrets_in(row.path, row.text)) == row.expected);
    }
}

TEST_CASE("what only looks like a secret is not one") {
    const std::string header = armour("BEGIN", kKey);
    const std::vector<Row> rows{
        {"certificate", "/etc/ssl/certs/a.pem", pem("CERTIFICATE"), ""},
        {"public key", "/etc/a.pub.pem",
         pem("PUBLIC"
             " KEY"),
         ""},
        {"public key of SSH", "/root/.ssh/id_rsa.pub", "ssh-rsa AAAAB3NzaC1yc2E" + noise(300), ""},
        {"request", "/etc/a.csr", pem("CERTIFICATE REQUEST"), ""},
        {"PGP public key", "/etc/apt/trusted.gpg.d/a.asc", pem("PGP PUBLIC KEY BLOCK"), ""},
        {"PGP signature", "/opt/x.asc", pem("PGP SIGNATURE"), ""},
        {"certificate in base64", "/root/.kube/config",
         "certificate-authority-data: " + base64_of(pem("CERTIFICATE")), ""},
        {"documentation names the header", "/usr/local/share/x.md",
         "A key begins with " + header + " and ends with " + armour("END", kKey) + ".", ""},
        {"the header as a string in a program", "/usr/local/lib/x.py",
         "if text.startswith('" + header + "'):\n    return parse_private_key_of_pem_format(x)",
         ""},
        {"a pattern", "/opt/x.yaml",
         "regex: '-----BEGIN [A-Z ]*PRIVATE"
         " KEY-----[\\s\\S]+'",
         ""},
        {"header in a binary", "/opt/x.so", header + std::string(1, '\0') + noise(80), ""},
        {"sample key of Xs", "/opt/x.yaml",
         header + "\n" + std::string(64, 'x') + "\n" + armour("END", kKey), ""},
        {"sample key with an ellipsis", "/opt/x.yaml", header + "\nMIIEpAIBAAKCAQEA...\n", ""},
        {"sample key in words", "/opt/x.yaml", header + "\nyour private key here\n", ""},
        {"key without a body", "/etc/x.pem", header + "\n" + armour("END", kKey), ""},
        {"header at the end of the file", "/etc/x.pem", header, ""},

        {"docker config without a login", "/root/.docker/config.json",
         R"({"auths": {"r": {"auth": ""}}, "credsStore": "ecr-login"})", ""},
        {"sample auth", "/root/.docker/config.json",
         "{\"auths\":{\"r\":{\"auth\":\"" + base64_of("username:password") + "\"}}}", ""},
        {"auth is a word", "/root/.docker/config.json", R"({"auth": "required", "oauth": "none"})",
         ""},
        {"header without a value", "/etc/nginx/nginx.conf",
         "proxy_set_header Authorization $http_authorization;\nproxy_set_header Authorization: "
         "\"\";",
         ""},

        {"the access key of AWS' manuals", "/root/.aws/credentials",
         "aws_access_key_id = AKIAIOSFODNN7"
         "EXAMPLE\n"
         "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY"
         "EXAMPLEKEY\n",
         ""},
        {"a temporary id alone stands in every signed URL", "/root/x",
         "X-Amz-Credential=" + kAwsTemporaryId + "/20250101", ""},
        {"continents", "/opt/x", "ASIA/TOKYO ASIA" + noise(12, kUpper), ""},
        {"a digest of 40 digits is no secret key", "/opt/x",
         kAwsTemporaryId + " " + noise(40, kHex), ""},
        {"an empty secret", "/root/.aws/credentials", "aws_secret_access_key =\n", ""},
        {"a pattern for tokens", "/opt/x",
         "gh"
         "[pousr]_[A-Za-z0-9]{36}",
         ""},
        {"token of Xs", "/opt/x",
         "gh"
         "p_" +
             std::string(36, 'x'),
         ""},
        {"token too short", "/opt/x",
         "gh"
         "p_" +
             noise(20),
         ""},
        {"end of a longer word", "/opt/x",
         "mygh"
         "p_" +
             noise(36),
         ""},
        {"names of npm", "/opt/x", "npm_config_registry npm_lifecycle_event_is_not_a_token_at_all",
         ""},
        {"two parts", "/opt/x",
         base64url_of(R"({"alg":"none"})") + "." + base64url_of("{\"sub\":\"a\"}"), ""},
        {"not the header of a token", "/opt/x",
         base64url_of(R"({"name":"some JSON"})") + "." + base64url_of(R"({"sub":"builder"})") +
             "." + noise(40),
         ""},
        {"the token of jwt.io", "/opt/x",
         base64url_of(R"({"alg":"HS256","typ":"JWT"})") + "." +
             base64url_of(R"({"sub":"1234567890","name":"John Doe"})") + "." + noise(43),
         ""},
        {"a member that is an expression", "/opt/x.py", "{'client_secret': self.client_secret,}",
         ""},
        {"sig is no SAS", "/opt/x", "?sig=" + noise(50), ""},

        {"variable", "/etc/default/app", "DB_PASSWORD=${DB_PASSWORD}\nA_TOKEN=$TOKEN", ""},
        {"command", "/etc/profile.d/a.sh", "A_TOKEN=$(cat /run/token)\nB_TOKEN=`get token`", ""},
        {"file", "/etc/default/app",
         "A_SECRET=/run/secrets/a\nB_TOKEN=file:/run/b\nGOOGLE_APPLICATION_CREDENTIALS=/etc/sa.json"
         "\nTLS_PRIVATE_KEY=certs/server.key",
         ""},
        {"name of a file", "/etc/default/app", "A_PASSWORD_FILE=swordfish9", ""},
        {"empty", "/etc/default/app", "A_PASSWORD=\nB_PASSWORD=\"\"\nC_TOKEN=''\n", ""},
        {"placeholders", "/etc/default/app",
         "A_PASSWORD=changeme\nB_PASSWORD=<password>\nC_PASSWORD=********\nD_TOKEN=your-token-here"
         "\nE_SECRET=xxxxxxxxxxxx\nF_TOKEN={{ token }}\nG_SECRET=%(secret)s\nH_TOKEN=@TOKEN@"
         "\nI_PASSWORD=REDACTED\nJ_PASSWORD=password\nK_SECRET=MAIN_SECRET_NAME",
         ""},
        {"numbers and truths", "/etc/default/app",
         "ASK_PASSWORD=true\nUSE_TOKEN=false\nMAX_TOKEN=86400\nA_SECRET=none", ""},
        {"comments", "/etc/default/app", "#A_PASSWORD=swordfish9\n  ; B_TOKEN=swordfish9", ""},
        {"comparison", "/etc/profile.d/a.sh", "if [ \"$A_TOKEN\" == swordfish9 ]; then", ""},
        {"program", "/usr/local/lib/app/main.py", "password = 'swordfish9'", ""},
        {"OpenAI's name alone", "/srv/app", noise(40) + "T3Blbk" + "FJ" + noise(40), ""},
        {"OpenAI, too short", "/srv/app", "sk-T3Blbk" + ("FJ" + noise(40)), ""},
        {"words with sk-", "/srv/app", "sk-" + noise(48), ""},
        {"WireGuard, the public key", "/etc/wireguard/public.key", noise(43) + "=\n", ""},
        {"44 characters elsewhere", "/etc/app/private.key", noise(43) + "=\n", ""},
        {"OpenSSL's own sample", "/etc/ssl/openssl.cnf", "secret = pass:insta # can be used", ""},
        {"nsswitch", "/etc/nsswitch.conf", "passwd:         files systemd\n", ""},
        {"PAM", "/etc/pam.d/common-password",
         "password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\n", ""},
        {"hashes of accounts", "/etc/shadow",
         "root:$y$j9T$" + noise(22) + "$" + noise(43) + ":1:", ""},
        {"YAML reference", "/etc/app.yaml", "password: !vault |\n  x\nsecret: *anchor\ntoken: |",
         ""},
        {"port and path of a URL", "/etc/app.conf", "https://host:8443/a@b", ""},
        {"user without a password", "/etc/app.conf", "ssh://git@github.com/a\nhttp://host:80", ""},
        {"password in a URL is a variable", "/etc/app.conf", "http://user:${PASS}@proxy", ""},
        {"password in a URL is a sample", "/etc/wgetrc", "# http://user:password@proxy/", ""},
        {"URL in a program", "/usr/local/lib/x.py", "'http://u:swordfish9@host'", ""},
        {"netrc's words elsewhere", "/etc/motd", "your login password expires", ""},
        {"netrc, commented out", "/root/.netrc", "# machine m login l password swordfish9", ""},
        {"PostgreSQL, commented out", "/root/.pgpass", "#hostname:port:database:username:secret9",
         ""},
        {"nothing", "/etc/empty", "", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(list_of(secrets_in(row.path, row.text)) == row.expected);
    }
}

TEST_CASE("lines are counted, and one kind in a line is one finding") {
    const std::string token = kGitHub + " " + kGitHub;
    CHECK(list_of(secrets_in("/root/x", "\n\n" + token + "\n\n" + token)) ==
          "3 GitHub token, 5 GitHub token");
}

TEST_CASE("no bytes make a judge read outside the text") {
    // Every rule's needle, followed by every beginning of what could come; ASan watches.
    for (const SecretRule& rule : secret_rules()) {
        for (const std::string& tail :
             {std::string("\""), std::string(": \""), std::string("= ["), std::string("\\\""),
              std::string("=Basic "), std::string("eyJ."), std::string("x-1"),
              std::string(kKey + "-----\\"), std::string(kKey + "-----\nA: "), std::string("14\n"),
              std::string(40, 'A') + ".eyJ" + std::string(40, 'A') + "."}) {
            const std::string text = std::string(rule.needle) + tail;
            for (std::size_t length = 0; length <= text.size(); ++length) {
                const std::string cut = text.substr(0, length);
                for (const char* path :
                     {"/etc/x.json", "/root/.netrc", "/root/.pgpass", "/etc/config.php"})
                    CHECK(secrets_in(path, cut).size() <= 1);
            }
        }
    }
}

TEST_CASE("the time is linear in the length of any text") {
    struct Hostile {
        std::string name;
        std::string path;
        std::string unit;
    };
    const std::vector<Hostile> rows{
        {"equal signs", "/etc/x", "="},
        {"beginnings of tokens", "/etc/x", "eyJ"},
        {"beginnings of keys", "/etc/x",
         "-----"
         "BEGIN "},
        {"keys without bodies", "/etc/x", armour("BEGIN", kKey)},
        {"keys and blanks", "/etc/x", armour("BEGIN", kKey) + std::string(512, ' ')},
        {"headers of keys", "/etc/x", armour("BEGIN", kKey) + "\nA: b\nC: d\nE: f\n"},
        {"parts of tokens", "/etc/x", "eyJ."},
        {"tokens in paths", "/etc/x", "/eyJhbGciOiJIUzI1NiJ9.eyJ"},
        {"PEM in base64", "/etc/x", "LS0tLS1CRUdJTi"},
        {"assignments to each other", "/etc/x", "token="},
        {"assignments of references", "/etc/x", "token=$"},
        {"assignments of placeholders", "/etc/x", "token=xxxx"},
        {"auth of auth", "/etc/x.yaml", "auth:"},
        {"comments without an end", "/etc/x", "# a_token=ab1d "},
        {"members", "/etc/x.json", "\"access_token\": \""},
        {"URLs", "/etc/x", "a://b:c"},
        {"definitions", "/etc/config.php", "define('PASSWORD', "},
        {"beginnings of Ceph's keys", "/etc/x", "AQAQ"},
        {"words of netrc", "/root/.netrc", "password "},
        {"lines of .pgpass", "/root/.pgpass", ":"},
        {"ids of AWS", "/etc/x", kAwsTemporaryId + " "},
        {"signatures", "/etc/x", "&sig=" + noise(43)},
        {"tokens", "/etc/x", kGitHub + "\n"},
    };
    // A quadratic judge would take hours for any of these, and days for the first ones.
    constexpr std::size_t kMost = 8UL << 20;
    constexpr std::size_t kBytes = 1UL << 20;
    std::size_t length = kMost;
    for (const Hostile& row : rows) {
        CAPTURE(row.name);
        std::string text;
        while (text.size() < length) text += row.unit;
        if (&row == &rows[2]) length = kBytes;
        const auto began = std::chrono::steady_clock::now();
        const std::size_t found = secrets_in(row.path, text).size();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
        CHECK(found <= text.size() / row.unit.size());
        CHECK(took.count() < 20);  // room for sanitizers and a busy machine
    }
}

TEST_CASE("all needles are found, also if they overlap") {
    const NeedleFinder finder({"abc", "BCD", "abcdef", "://"});
    std::string found;
    finder.find_all("xabcdefABC://BcD", [&](std::size_t index, std::size_t offset) {
        found += std::to_string(index) + "@" + std::to_string(offset) + " ";
    });
    CHECK(found == "0@1 2@1 1@2 0@7 3@10 1@13 ");
    CHECK(finder.longest() == 6);
}

}  // namespace
}  // namespace prebake::identity::secrets
