// A user exchanges files while they are looked at: what is written is never another user's.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "agent/base/error.h"
#include "agent/identity/survey.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/machine/exchanger.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::identity {
namespace {

using tests::contains;

const Item& registry_credentials() {
    return *std::find_if(items().begin(), items().end(),
                         [](const Item& item) { return item.name == "registry-credentials"; });
}

TEST_CASE("settings of root do not get into a file of a user who exchanges it with a link" *
          doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a link to somebody");
        return;
    }
    struct Row {
        const char* name;
        const char* real;  ///< exchanged with `link`
        const char* link;
        const char* target;
    };
    const Row rows[] = {
        {"the file", "/home/eve/.docker/config.json", "/home/eve/link", "/srv/root/config.json"},
        {"its directory", "/home/eve/.docker", "/home/eve/link", "/srv/root"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const tests::TestTree tree;
        tree.put("/srv/root/config.json", R"({"auths":{"r":{"auth":"dTpw"}},"of":"root"})", 0600);
        tree.put("/home/eve/.docker/config.json", R"({"auths":{"r":{"auth":"dTpw"}},"of":"eve"})");
        tree.link(row.link, row.target);
        REQUIRE(::lchown(tree.at(row.link).c_str(), 1000, 1000) == 0);
        const machine::Root root = tree.root();
        int surveys = 0;
        int of_eve = 0;
        int of_link = 0;
        const tests::Exchanger exchanger(tree.at(row.real), tree.at(row.link));
        // Until both were seen, and often enough to meet the moments in between.
        const auto hangs = std::chrono::steady_clock::now() + std::chrono::seconds(120);
        for (; of_eve == 0 || of_link == 0 || surveys < 3000; ++surveys) {
            REQUIRE_MESSAGE(std::chrono::steady_clock::now() < hangs,
                            "never both: " << of_eve << " of eve, " << of_link << " links");
            const Pending pending = survey(root, registry_credentials(), {}, {});
            bool is_found = false;
            for (const Change& change : pending.changes) {
                REQUIRE_FALSE(contains(change.contents, "root"));
                is_found = is_found || contains(change.contents, "eve");
            }
            if (is_found) ++of_eve;
            // Otherwise the exchange came between two looks at the file, and the item fails.
            if (!is_found && pending.problems.empty()) ++of_link;
        }
    }
}

}  // namespace
}  // namespace prebake::identity
