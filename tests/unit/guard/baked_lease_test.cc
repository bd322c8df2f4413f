#include "agent/guard/baked_lease.h"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "tests/unit/containerd/fake_containerd.h"

using namespace std::chrono_literals;

namespace prebake::guard::baked_lease_test {

namespace fake = containerd::fake;
using grpc::Status;
using grpc::StatusCode;
using Names = std::vector<std::string>;

/// containerd's leases of one namespace, with a count of what was changed.
struct Scene {
    struct Lease {
        std::map<std::string, std::string> labels;
        std::set<std::string> content;
    };

    Scene() {
        server.namespaces.list = [this](auto&, const auto&, auto& response) {
            for (const std::string& ns : namespaces) {
                response.add_namespaces()->set_name(ns);
            }
            return Status::OK;
        };
        server.leases.list = [this](auto&, const auto&, auto& response) {
            ++lists;
            for (const auto& [id, held] : leases) {
                auto& wire = *response.add_leases();
                wire.set_id(id);
                wire.mutable_labels()->insert(held.labels.begin(), held.labels.end());
            }
            return Status::OK;
        };
        server.leases.create = [this](auto&, const auto& request, auto&) {
            if (is_over()) return Status(StatusCode::UNKNOWN, "killed");
            if (leases.contains(request.id())) return Status(StatusCode::ALREADY_EXISTS, "");
            changes.push_back("create " + request.id());
            leases[request.id()].labels = {request.labels().begin(), request.labels().end()};
            return Status::OK;
        };
        server.leases.remove = [this](auto&, const auto& request, auto&) {
            if (is_over()) return Status(StatusCode::UNKNOWN, "killed");
            changes.push_back("remove " + request.id());
            return leases.erase(request.id()) > 0 ? Status::OK : Status(StatusCode::NOT_FOUND, "");
        };
        server.leases.add_resource = [this](auto&, const auto& request, auto&) {
            if (is_over()) return Status(StatusCode::UNKNOWN, "killed");
            if (broken == request.resource().id()) return Status(StatusCode::UNKNOWN, "disk");
            changes.push_back("+" + request.resource().id());
            leases.at(request.id()).content.insert(request.resource().id());
            return Status::OK;
        };
        server.leases.remove_resource = [this](auto&, const auto& request, auto&) {
            changes.push_back("-" + request.resource().id());
            leases.at(request.id()).content.erase(request.resource().id());
            return Status::OK;
        };
        server.leases.list_resources = [this](auto&, const auto& request, auto& response) {
            for (const std::string& digest : leases.at(request.id()).content) {
                response.add_resources()->set_id(digest);
                response.mutable_resources()->rbegin()->set_type("content");
            }
            return Status::OK;
        };
    }
    ~Scene() { server.stop(); }

    /// What hold() changed in containerd.
    Names hold(const std::set<std::string>& digests, std::chrono::hours later = 0h) {
        changes.clear();
        lease.hold({{"k8s.io", digests}}, std::chrono::system_clock::now() + later);
        return changes;
    }

    /// Whether the daemon was killed before this change.
    bool is_over() { return left && (*left)-- <= 0; }
    std::set<std::string> ids() const {
        std::set<std::string> all;
        for (const auto& [id, held] : leases) all.insert(id);
        return all;
    }
    std::set<std::string> held() const {
        std::set<std::string> all;
        for (const auto& [id, held] : leases) all.insert(held.content.begin(), held.content.end());
        return all;
    }

    std::optional<int> left;  ///< changes, until the daemon is killed; nothing: it is not
    Names namespaces{"k8s.io"};
    std::map<std::string, Lease> leases;
    Names changes;
    int lists = 0;
    std::string broken;  ///< cannot be put under a lease
    std::vector<std::string> notes;
    fake::Containerd server;
    containerd::Connection connection{server.socket(), {}};
    ActivityLog log{[this](Severity, const std::string& text) { notes.push_back(text); }};
    BakedLease lease{connection, log};
};

TEST_CASE("the lease holds what it should, and changes only that") {
    Scene scene;
    CHECK(scene.hold({"a", "b"}) == Names{"create prebake-baked", "+a", "+b"});
    CHECK(scene.hold({"a", "b"}).empty());
    CHECK(scene.hold({"b", "c"}) == Names{"+c", "-a"});
    CHECK(scene.leases.at("prebake-baked").content == std::set<std::string>{"b", "c"});
    CHECK(scene.hold({}) == Names{"remove prebake-baked"});
    const int asked = scene.lists;
    CHECK(scene.hold({}).empty());
    CHECK_MESSAGE(scene.lists == asked, "nothing is held, so nothing has to be asked");
}

TEST_CASE("a lease of an earlier daemon is found again, never a second one") {
    Scene scene;
    scene.hold({"a", "b"});
    BakedLease next(scene.connection, scene.log);
    scene.changes.clear();
    next.hold({{"k8s.io", {"b", "c"}}}, std::chrono::system_clock::now());
    CHECK(scene.changes == Names{"+c", "-a"});
    CHECK(scene.leases.size() == 1);

    BakedLease unwilling(scene.connection, scene.log);
    scene.changes.clear();
    unwilling.hold({{"k8s.io", {}}}, std::chrono::system_clock::now());
    CHECK(scene.changes == Names{"remove prebake-baked"});
}

TEST_CASE("a lease is renewed at half of its life, and one whose time was set by a wrong clock") {
    Scene scene;
    scene.hold({"a"});
    CHECK(scene.hold({"a"}, 11h).empty());
    // At no time is "a" without a lease.
    const Names renewed{"remove prebake-baked-renewal", "create prebake-baked-renewal", "+a",
                        "remove prebake-baked",         "create prebake-baked",         "+a",
                        "remove prebake-baked-renewal"};
    CHECK(scene.hold({"a"}, 13h) == renewed);
    CHECK_MESSAGE(scene.hold({"a"}, -100h) == renewed, "it would outlast a removed daemon");
    scene.leases.at("prebake-baked").labels.clear();
    CHECK_MESSAGE(scene.hold({"a"}) == renewed, "it would never expire");
    CHECK(scene.notes.empty());
}

TEST_CASE("a lease that somebody removes stays removed until the operator asks") {
    Scene scene;
    scene.hold({"a"});
    scene.leases.clear();
    CHECK(scene.hold({"a"}).empty());
    CHECK(scene.hold({"a", "b"}).empty());
    REQUIRE(scene.notes.size() == 1);
    CHECK(scene.notes[0].find("systemctl reload prebaked") != std::string::npos);
    scene.lease.start_over();
    CHECK(scene.hold({"a"}) == Names{"create prebake-baked", "+a"});
}

TEST_CASE("containerd's restart does not bring a lease back that somebody removed") {
    Scene scene;
    scene.hold({"a"});
    scene.leases.clear();
    CHECK(scene.hold({"a"}).empty());
    scene.lease.look_again();
    CHECK(scene.hold({"a"}).empty());
    CHECK(scene.notes.size() == 1);
}

TEST_CASE("a daemon that is killed during a renewal leaves nothing that stays") {
    struct Row {
        const char* name;
        bool is_killed;  ///< or only a call failed
        HeldContent then;
        std::set<std::string> leases;
    };
    const Row rows[] = {
        {"what was held is held by one lease again", true, {{"k8s.io", {"a"}}}, {"prebake-baked"}},
        {"below the floor of the disk nothing is held", true, {{"k8s.io", {}}}, {}},
        {"what is not in the record any more is not held", true, {}, {}},
        {"held, after a call that failed", false, {{"k8s.io", {"a"}}}, {"prebake-baked"}},
        {"not held, after a call that failed", false, {{"k8s.io", {}}}, {}},
    };
    for (const Row& row : rows) {
        for (int changes = 0; changes < 7; ++changes) {
            for (const auto later : {0h, 13h}) {
                CAPTURE(row.name);
                CAPTURE(changes);
                CAPTURE(later.count());
                Scene scene;
                scene.hold({"a"});
                scene.left = changes;
                CHECK_THROWS_AS(scene.hold({"a"}, 13h), Error);
                scene.left.reset();
                CHECK(scene.held() == std::set<std::string>{"a"});
                BakedLease next(scene.connection, scene.log);
                (row.is_killed ? next : scene.lease)
                    .hold(row.then, std::chrono::system_clock::now() + later);
                CHECK(scene.ids() == row.leases);
                CHECK(scene.held().size() == row.leases.size());
            }
        }
    }
}

TEST_CASE("a client that removes the lease gets the space, also after a renewal that failed") {
    Scene scene;
    scene.hold({"a"});
    scene.left = 6;
    CHECK_THROWS_AS(scene.hold({"a"}, 13h), Error);
    scene.left.reset();
    REQUIRE(scene.leases.erase("prebake-baked") == 1);
    scene.hold({"a"}, 13h);
    CHECK(scene.leases.empty());
    CHECK(scene.notes.size() == 1);
}

TEST_CASE("what is not in the record any more is held no longer") {
    Scene scene;
    scene.hold({"a"});
    scene.changes.clear();
    const auto now = std::chrono::system_clock::now();
    SUBCASE("while the daemon runs") {
        scene.lease.hold({}, now);
        CHECK(scene.changes == Names{"remove prebake-baked"});
    }
    SUBCASE("since its last run") {
        BakedLease next(scene.connection, scene.log);
        next.hold({}, now);
        CHECK(scene.changes == Names{"remove prebake-baked"});
    }
}

TEST_CASE("a namespace that fails does not keep the others from being held") {
    Scene scene;
    scene.broken = "b";
    CHECK_THROWS_AS(
        scene.lease.hold({{"default", {"b"}}, {"k8s.io", {"c"}}}, std::chrono::system_clock::now()),
        Error);
    CHECK(scene.leases.at("prebake-baked").content == std::set<std::string>{"c"});
}

TEST_CASE("how to delete images for good is logged once, and only while they are held") {
    Scene scene;
    scene.lease.explain("k8s.io");
    CHECK(scene.notes.empty());
    scene.hold({"a"});
    scene.lease.explain("k8s.io");
    scene.lease.explain("k8s.io");
    REQUIRE(scene.notes.size() == 1);
    CHECK(scene.notes[0].find("ctr -n k8s.io leases rm prebake-baked") != std::string::npos);
}

TEST_CASE("a lease that expired, or never became complete, is not one that somebody removed") {
    Scene scene;
    scene.hold({"a"});
    scene.leases.clear();
    CHECK(scene.hold({"a"}, 25h) == Names{"create prebake-baked", "+a"});

    scene.broken = "b";
    CHECK_THROWS_AS(scene.hold({"a", "b"}), Error);
    scene.broken.clear();
    CHECK(scene.hold({"a", "b"}) == Names{"+b"});
}

}  // namespace prebake::guard::baked_lease_test
