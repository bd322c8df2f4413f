#include "agent/oci/container_user.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"

namespace prebake::oci {

namespace container_user_test {

const std::string kPasswdFile =
    "root:x:0:0:root:/root:/bin/sh\n"
    "\n"
    "app:x:1000:1001:An application:/home/app:/bin/sh\n"
    "twin:x:1000:7:The same number:/:/bin/sh\n"
    "broken:x:no:number\n"
    "77:x:5:6::/:\n";
const std::string kGroupFile =
    "root:x:0:\n"
    "wheel:x:10:root,app\n"
    "app:x:1001:app\n"
    "video:x:44:other,app\n"
    "same:x:1001:app\n";

TEST_CASE("users are resolved as containerd resolves them") {
    struct Row {
        std::string user;
        ContainerUser expected;
    };
    const std::vector<Row> rows{
        {"", {0, 0, {0, 10}}},
        {"root", {0, 0, {0, 10}}},
        {"0", {0, 0, {0, 10}}},
        {"app", {1000, 1001, {1001, 10, 44}}},
        {"1000", {1000, 1001, {1001, 10, 44}}},
        {"twin", {1000, 7, {7, 10, 44, 1001}}},  // its number is app's
        {"1234", {1234, 0, {0}}},
        {"1234:5", {1234, 5, {5}}},
        {"app:video", {1000, 44, {44, 10, 1001}}},
        {"1000:44", {1000, 44, {44, 10, 1001}}},
        {"0:app", {0, 1001, {1001, 10}}},
        {"broken", {0, 0, {0, 10}}},
        {"77", {77, 0, {0}}},  // a number first
    };
    for (const Row& row : rows) {
        CAPTURE(row.user);
        ContainerUser expected = row.expected;
        // The group that is named like the user is no further group.
        if (row.user == "app:video" || row.user == "1000:44") expected.groups = {44, 10, 1001};
        CHECK(resolve_user(row.user, kPasswdFile, kGroupFile) == expected);
    }
}

TEST_CASE("without the files, only numbers are users") {
    CHECK(resolve_user("", std::nullopt, std::nullopt) == ContainerUser{0, 0, {0}});
    CHECK(resolve_user("12", std::nullopt, std::nullopt) == ContainerUser{12, 0, {0}});
    CHECK(resolve_user("12:13", std::nullopt, std::nullopt) == ContainerUser{12, 13, {13}});
    for (const char* user : {"app", "app:1", "1:app", "4294967296", "-1", "1:2:3", ":", "1:"}) {
        const std::string shown = user;
        CAPTURE(shown);
        CHECK_THROWS_AS(resolve_user(user, std::nullopt, std::nullopt), Error);
        CHECK_THROWS_AS(resolve_user(user == std::string("app") ? "ap" : user, "", ""), Error);
    }
}

}  // namespace container_user_test

}  // namespace prebake::oci
