// They need root. The threads that give up capabilities are their own.
#include "agent/base/capabilities.h"

#include <doctest/doctest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>

#include "agent/base/process.h"

namespace prebake::capabilities_test {

constexpr CapabilityMask kOwners = capability(CAP_CHOWN) | capability(CAP_FOWNER);

/// As in a unit with NoNewPrivileges=yes.
void run_without_new_privileges(const std::function<void()>& work) {
    std::jthread([&] {
        REQUIRE(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        CHECK(has_no_new_privileges());
        work();
    }).join();
}

void lower(CapabilityMask mask) {
    CapabilitySets sets = own_capabilities();
    sets.effective &= ~mask;
    set_own_capabilities(sets);
}

std::string capabilities_of_a_program() {
    return run_or_throw({.arguments = {"sed", "-n", "s/^CapPrm:\\s*//p", "/proc/self/status"}}, {});
}

TEST_SUITE("root") {
    TEST_CASE("capabilities are effective in one thread, until the end of the scope") {
        if (::geteuid() != 0) {
            MESSAGE("not run: only root");
            return;
        }
        std::jthread([] {
            lower(kOwners);
            CapabilityMask of_others = 0;
            {
                const RaisedCapabilities raised(kOwners | CapabilityMask{1} << 63U);
                CHECK((own_capabilities().effective & kOwners) == kOwners);
                { const RaisedCapabilities again(kOwners); }
                CHECK((own_capabilities().effective & kOwners) == kOwners);
            }
            std::jthread([&] { of_others = own_capabilities().effective; }).join();
            CHECK((of_others & kOwners) == 0);
            CHECK((own_capabilities().effective & kOwners) == 0);
            CHECK((own_capabilities().permitted & kOwners) == kOwners);
        }).join();
        CHECK((own_capabilities().effective & kOwners) == kOwners);
    }

    TEST_CASE("what is not permitted is not raised") {
        std::jthread([] {
            CapabilitySets sets = own_capabilities();
            sets.effective &= ~kOwners;
            sets.permitted &= ~capability(CAP_CHOWN);
            set_own_capabilities(sets);
            const RaisedCapabilities raised(kOwners);
            CHECK((own_capabilities().effective & kOwners) == capability(CAP_FOWNER));
        }).join();
    }

    TEST_CASE("a program gets the effective capabilities alone") {
        CHECK_FALSE(has_no_new_privileges());
        const std::string all = capabilities_of_a_program();
        std::string as_usual;
        std::string lowered;
        run_without_new_privileges([&] {
            as_usual = capabilities_of_a_program();
            lower(kOwners);
            lowered = capabilities_of_a_program();
            CHECK((own_capabilities().permitted & kOwners) == kOwners);
        });
        CHECK(as_usual == all);
        CHECK(std::stoull(lowered, nullptr, 16) == (std::stoull(all, nullptr, 16) & ~kOwners));
    }
}

}  // namespace prebake::capabilities_test
