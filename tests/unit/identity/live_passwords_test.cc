#include "agent/identity/live_passwords.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "agent/base/text.h"

namespace prebake::identity {
namespace {

const std::string kAccounts =
    "root:x:0:0::/root:/bin/bash\nalice:x:1000:1000::/home/alice:\n"
    "bob:x:1001:1001::/home/bob:/usr/bin/zsh\ndaemon:x:1:1::/:/usr/sbin/nologin\n"
    "ftp:x:2:2::/:/bin/false\n+::::::\n";

std::string passwords_in(const std::string& path, const std::string& text,
                         const std::string& accounts = kAccounts) {
    LivePasswords passwords(accounts);
    std::vector<secrets::LocatedSecret> located;
    passwords.locate(path, text, 0, text.size(), located);
    std::string found;
    for (const secrets::LocatedSecret& secret : located) {
        const auto line =
            1 + std::count(text.begin(), text.begin() + static_cast<long>(secret.offset), '\n');
        found +=
            (found.empty() ? "" : "; ") + std::to_string(line) + " " + std::string(secret.kind);
    }
    return found;
}

TEST_CASE("passwords of users who can log in are found, and none that is locked") {
    struct Row {
        std::string name;
        std::string path;
        std::string text;
        std::string expected;
    };
    const std::string hash = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC";
    const std::vector<Row> rows{
        {"yescrypt", "/etc/shadow", "root:" + hash + ":19000:0:99999:7:::\n",
         "1 password hash of the user root, who can log in"},
        {"an empty shell is sh", "/etc/shadow", "root:*:\nalice:$6$x$y:\n",
         "2 password hash of the user alice, who can log in"},
        {"MD5", "/etc/shadow", "bob:$1$x$y:1:", "1 password hash of the user bob, who can log in"},
        {"DES", "/etc/shadow",
         "bob:AbC./0123wxyz:", "1 password hash of the user bob, who can log in"},
        {"BSDi", "/etc/shadow",
         "bob:_AbC./0123wxyz012345:", "1 password hash of the user bob, who can log in"},
        {"empty", "/etc/shadow", "bob::19000:\n",
         "1 empty password of the user bob, who can log in"},
        {"locked", "/etc/shadow",
         "root:*:1:\nalice:!:1:\nbob:!!:1:\nroot:!*:\nbob:!" + hash + ":1:\n", ""},
        {"words that lock", "/etc/shadow", "root:x:\nalice:NP:\nbob:*LK*:\nbob:locked-account:\n",
         ""},
        {"no login shell", "/etc/shadow", "daemon:" + hash + ":1:\nftp::1:\n", ""},
        {"no account", "/etc/shadow", "mallory:" + hash + ":1:\n", ""},
        {"no line of it", "/etc/shadow", "root\n\n#\n", ""},
        {"old files", "/etc/passwd", "root:" + hash + ":0:0::/root:/bin/sh\nbob::1:1:::\n",
         "1 password hash of the user root, who can log in; "
         "2 empty password of the user bob, who can log in"},
        {"the password is elsewhere", "/etc/passwd", kAccounts, ""},
        {"group", "/etc/gshadow", "root:*::\nadm:!::\nstaff:::root\nwheel:" + hash + "::root\n",
         "4 password hash of the group wheel"},
        {"another file", "/srv/etc/shadow", "root:" + hash + ":1:\n", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(passwords_in(row.path, row.text) == row.expected);
    }
}

TEST_CASE("each line belongs to the piece in which it begins") {
    const std::string text = "root:$6$x$y:1:\nalice:$6$x$y:1:\nbob:$6$x$y:1:\n";
    for (std::size_t border = 1; border < text.size(); ++border) {
        CAPTURE(border);
        LivePasswords passwords(kAccounts);
        std::vector<secrets::LocatedSecret> located;
        passwords.locate("/etc/shadow", text, 0, border, located);
        passwords.locate("/etc/shadow", text, border, text.size(), located);
        CHECK(located.size() == 3);
    }
}

}  // namespace
}  // namespace prebake::identity
