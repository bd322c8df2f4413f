#include <doctest/doctest.h>
#include <utmp.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "agent/identity/item.h"
#include "agent/identity/items/extra_changes.h"
#include "agent/identity/survey.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::identity {
namespace {

std::string record(short type, const char* user = "", const char* host = "") {
    struct utmp one {};
    one.ut_type = type;
    one.ut_pid = 512;
    std::strncpy(one.ut_line, "tty1", sizeof one.ut_line);
    std::strncpy(one.ut_user, user, sizeof one.ut_user);
    std::strncpy(one.ut_host, host, sizeof one.ut_host);
    return {reinterpret_cast<const char*>(&one), sizeof one};
}

TEST_CASE("what a shutdown writes to wtmp after a seal is no residue, a login is") {
    const std::string end = record(DEAD_PROCESS);
    struct Row {
        const char* name;
        std::string records;
        bool is_pending;
    };
    const Row rows[] = {
        {"empty", "", false},
        {"ends of terminals", end + end + end, false},
        {"a terminal that waits for a login",
         record(INIT_PROCESS) + record(LOGIN_PROCESS, "LOGIN") + end, false},
        {"a shutdown", end + record(RUN_LVL, "shutdown", "6.1.0-13-amd64"), false},
        {"a user by that name", record(USER_PROCESS, "shutdown"), true},
        {"a login", record(USER_PROCESS, "eve", "10.0.0.9") + end, true},
        {"the end of a login, with its name", end + record(DEAD_PROCESS, "eve"), true},
        {"an end with an address", record(DEAD_PROCESS, "", "10.0.0.9"), true},
        {"a boot of the builder", record(BOOT_TIME, "reboot", "6.1.0"), true},
        {"no such records", end + "x", true},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const tests::TestTree tree;
        tree.put("/var/log/wtmp", row.records, 0664);
        const Changes changes = login_records_changes(tree.root(), {});
        REQUIRE(changes.size() == (row.is_pending ? 1U : 0U));
        if (!row.is_pending) continue;
        CHECK(changes[0].kind == Change::Kind::truncate);
        CHECK(changes[0].path == "/var/log/wtmp");
    }
    CHECK(login_records_changes(tests::TestTree().root(), {}).empty());
    // The item that empties /var/log leaves the file to this one.
    const auto logs = std::ranges::find(items(), "logs", &Item::name);
    REQUIRE(logs != items().end());
    const tests::TestTree tree;
    tree.put("/var/log/wtmp", end, 0664);
    tree.put("/var/log/btmp", end, 0660);
    const Pending pending = survey(tree.root(), *logs, {}, {});
    REQUIRE(pending.changes.size() == 1);
    CHECK(pending.changes[0].path == "/var/log/btmp");
}

}  // namespace
}  // namespace prebake::identity
