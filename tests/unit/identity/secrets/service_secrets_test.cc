#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/secrets/patterns.h"
#include "tests/unit/identity/secrets/planted_secrets.h"

namespace prebake::identity::secrets::service_secrets_test {

using tests::base64_of;
using tests::noise;

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kUpper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A key of 16 bytes, as ceph-authtool(8) writes it.
std::string ceph_key(std::string_view type = std::string_view("\x01\0", 2),
                     std::string_view length = std::string_view("\x10\0", 2)) {
    return base64_of(std::string(type) + noise(8) + std::string(length) + noise(16));
}

TEST_CASE("keys and passwords of services, in the files that they write") {
    struct Row {
        std::string name;
        std::string path;
        std::string text;
        std::string expected;
    };
    const std::vector<Row> rows{
        {"a keyring of Ceph", "/etc/ceph/ceph.client.admin.keyring",
         "[client.admin]\n\tkey = " + ceph_key() + "\n\tcaps mon = \"allow *\"\n", "2 Ceph key"},
        {"a key of Ceph alone", "/srv/x", ceph_key() + "\n", "1 Ceph key"},
        {"a mount of CephFS", "/etc/fstab", "a:/ /b ceph name=x,secret=" + ceph_key() + " 0 0",
         "1 Ceph key"},
        {"RabbitMQ", "/var/lib/rabbitmq/.erlang.cookie", noise(20, kUpper), "1 Erlang cookie"},
        {"Wazuh", "/var/ossec/etc/client.keys",
         "001 web-1 any " + noise(64, kHex) + "\n002 db 10.0.0.5 " + noise(64, kHex) + "\n",
         "1 key of an agent (Wazuh), 2 key of an agent (Wazuh)"},
        {"WordPress", "/var/www/html/wp-config.php",
         "<?php\ndefine( 'DB_NAME', 'wp' );\ndefine( 'DB_PASSWORD', 'qW3rTy9uIoP0aSdF' );\n"
         "define('AUTH_KEY',         'h#2 kL(9;x)>');\n",
         "3 password in a setting, 4 key in a setting"},
        {"Nextcloud", "/var/snap/nextcloud/current/config.php",
         "$CONFIG = array (\n  'secret' => 'x7Gh2kL9',\n  'dbpassword' => 'qW3rTy9u',\n);",
         "2 secret in a setting, 3 password in a setting"},
        {"Drupal", "/srv/web/sites/default/settings.php",
         "$databases['default'] = [\n  \"password\" => \"qW3rTy9u\",\n];",
         "2 password in a setting"},
        {"Laravel", "/srv/app/config/mail.php", "'password' => 'qW3rTy9u',",
         "1 password in a setting"},
        {"MediaWiki", "/var/www/w/LocalSettings.php", "$wgDBpassword = \"qW3rTy9u\";",
         "1 password in a setting"},
        {"phpMyAdmin", "/etc/phpmyadmin/config-db.php", "$dbpass='qW3rTy9u';",
         "1 password in a setting"},
        {"a member of an array", "/etc/roundcube/config.inc.php",
         "$config['smtp_password'] = 'qW3rTy9u';", "1 password in a setting"},
        {"dbconfig", "/etc/dbconfig-common/x.conf", "dbc_dbpass='qW3rTy9u'",
         "1 password in a setting"},
        {"Logstash", "/etc/logstash/conf.d/out.conf", "  password => \"qW3rTy9u\"",
         "1 password in a setting"},
        {"GitLab", "/var/opt/gitlab/gitlab-secrets.json",
         "{\"gitlab_rails\": {\n\"secret_key_base\": \"" + noise(64, kHex) +
             "\",\n\"otp_key_base\": \"" + noise(64, kHex) + "\"}}",
         "2 key of a Rails application, 3 key of a Rails application"},
        {"Rails", "/srv/app/config/secrets.yml", "  secret_key_base: " + noise(64, kHex),
         "1 key in a setting"},

        // And what is none.
        {"no key of Ceph", "/etc/x",
         ceph_key({"\x01\x01", 2}) + " " + ceph_key({"\x01\0", 2}, {"\x11\0", 2}) + " x" +
             ceph_key() + " " + base64_of(std::string("\x01\0", 2) + noise(40)) + " AQAAAAAA",
         ""},
        {"a sample of Ceph", "/etc/ceph/x.keyring", "[client.x]\n\tkey = AQ...==\n# key = <key>\n",
         ""},
        {"a keyring without a key", "/etc/ceph/x.keyring",
         "\tkey = AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA==\n", ""},
        {"an empty cookie", "/var/lib/rabbitmq/.erlang.cookie", "\n", ""},
        {"a placeholder of a cookie", "/root/.erlang.cookie", "changeme\n", ""},
        {"Wazuh, commented out", "/var/ossec/etc/client.keys",
         "# 001 a any " + noise(64, kHex) + "\n", ""},
        {"Wazuh, no key", "/var/ossec/etc/client.keys",
         "001 a any " + std::string(64, '0') + "\n001 a any 0a1b\nname a any " + noise(64, kHex),
         ""},
        {"the sample of WordPress", "/var/www/html/wp-config-sample.php",
         "define( 'DB_PASSWORD', 'qW3rTy9u' );", ""},
        {"the sample of WordPress, renamed", "/var/www/html/wp-config.php",
         "define( 'DB_PASSWORD', 'password_here' );\n"
         "define( 'AUTH_KEY', 'put your unique phrase here' );\n",
         ""},
        {"PHP from the environment", "/var/www/config.php",
         "define('DB_PASSWORD', getenv('DB_PASSWORD'));\n'password' => env('DB_PASSWORD', ''),\n"
         "$password = $_POST['password'];\n$token = get_token($x);\n",
         ""},
        {"PHP without a value", "/var/www/config.php",
         "define('DB_PASSWORD', '');\n'dbpassword' => '',\n'password' => null,\n", ""},
        {"PHP in a comment", "/var/www/settings.php",
         " *   'password' => 'sqlpassword',\n//'password' => 'sqlpassword',\n", ""},
        {"PHP of a program", "/var/www/html/login.php", "'password' => 'qW3rTy9u',", ""},
        {"PHP of a user interface", "/var/www/lang/de/config.php", "'password' => 'Passwort',", ""},
        {"not PHP's define", "/var/www/config.php", "call('DB_PASSWORD', 'qW3rTy9u');", ""},
        {"an arrow of a program", "/etc/x.conf", "token => value => x\n", ""},
        {"Rails, from the environment", "/srv/app/config/secrets.yml",
         "  secret_key_base: <%= ENV[\"SECRET_KEY_BASE\"] %>", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        std::string found;
        for (const SecretInText& secret : secrets_in(row.path, row.text)) {
            found += (found.empty() ? "" : ", ") + std::to_string(secret.line) + " " +
                     std::string(secret.kind);
        }
        CHECK(found == row.expected);
    }
}

}  // namespace prebake::identity::secrets::service_secrets_test
