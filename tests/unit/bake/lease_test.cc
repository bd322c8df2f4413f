#include "agent/bake/lease.h"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/containerd/fake_containerd.h"

namespace prebake::bake::lease_test {

namespace fake = containerd::fake;
using grpc::Status;

const std::string kOwner = "/var/lib/prebake";
const std::string kTree = "extract-1700000000000000000-prebake3 sha256:aa";

std::string ns_of(const fake::ServerContext& context) {
    const auto found = context.client_metadata().find("containerd-namespace");
    return {found->second.begin(), found->second.end()};
}

/// A containerd with leases in two namespaces, and what they hold.
struct Scene {
    Scene() {
        server.leases.list = [this](auto& context, const auto&, auto& response) {
            for (const auto& [key, owner] : leases) {
                if (key.first != ns_of(context)) continue;
                auto& lease = *response.add_leases();
                lease.set_id(key.second);
                (*lease.mutable_labels())["prebake/state-dir"] = owner;
            }
            return Status::OK;
        };
        server.leases.create = [this](auto& context, const auto& request, auto&) {
            leases[{ns_of(context), request.id()}] = kOwner;
            return Status::OK;
        };
        server.leases.remove = [this](auto& context, const auto& request, auto&) {
            leases.erase({ns_of(context), request.id()});
            removed.emplace_back(
                request.id().starts_with("prebake-collect") ? "garbage" : request.id(),
                request.sync());
            return Status::OK;
        };
        server.leases.list_resources = [this](auto&, const auto& request, auto& response) {
            for (const auto& [type, id] : resources[request.id()]) {
                auto& resource = *response.add_resources();
                resource.set_type(type);
                resource.set_id(id);
            }
            return Status::OK;
        };
        server.snapshots.remove = [this](auto& context, const auto& request, auto&) {
            snapshots.insert(ns_of(context) + " " + request.snapshotter() + " " + request.key());
            return Status::OK;
        };
    }
    ~Scene() { server.stop(); }

    using Key = std::pair<std::string, std::string>;  ///< namespace, id
    std::map<Key, std::string> leases;                ///< with their owners
    std::map<std::string, std::vector<std::pair<std::string, std::string>>> resources;
    std::vector<std::pair<std::string, bool>> removed;  ///< leases, and if that was awaited
    std::set<std::string> snapshots;                    ///< that were removed
    fake::Containerd server;
    containerd::Connection connection{server.socket(), {}};
};

TEST_CASE("a lease is removed with those that earlier bakes of the owner left") {
    Scene at;
    at.leases = {{{"a", "earlier"}, kOwner}, {{"b", "other"}, "/srv/other"}};
    const BakeLease lease(at.connection, {"a", "b"}, kOwner);
    CHECK(at.leases.size() == 4);
    SUBCASE("and garbage is collected once, when all are gone") {
        lease.release(containerd::Collection::awaited);
        REQUIRE(at.removed.size() == 3);
        CHECK(at.removed.back().second);
        CHECK_FALSE(at.removed[0].second);
        CHECK_FALSE(at.removed[1].second);
    }
    SUBCASE("without waiting for a collection of garbage") {
        lease.release(containerd::Collection::later);
        for (const auto& [id, is_awaited] : at.removed) CHECK_FALSE(is_awaited);
    }
    const std::map<Scene::Key, std::string> others{{{"b", "other"}, "/srv/other"}};
    CHECK(at.leases == others);
}

TEST_CASE("trees that an earlier bake was writing are removed, what can be resumed stays") {
    Scene at;
    at.leases = {{{"a", "earlier"}, kOwner}, {{"a", "other"}, "/srv/other"}};
    at.resources["other"] = {{"snapshots/overlayfs", kTree}};
    at.resources["earlier"] = {{"content", "sha256:bb"},
                               {"ingests", "prebake-sha256:cc"},
                               {"snapshots/overlayfs", "sha256:dd"},
                               {"snapshots/overlayfs", "extract-12-abcd sha256:ee"}};
    SUBCASE("there are some") {
        at.resources["earlier"].emplace_back("snapshots/native", kTree);
        CHECK(remove_unfinished_trees(at.connection, {"b", "a"}, kOwner));
        const std::vector<std::pair<std::string, bool>> garbage{{"garbage", true}};
        CHECK(at.snapshots == std::set{"a native " + kTree});
        CHECK(at.removed == garbage);
    }
    SUBCASE("not if the lease has just expired") {
        at.server.leases.list_resources = [](auto&, const auto&, auto&) {
            return Status(grpc::StatusCode::NOT_FOUND, "lease");
        };
        CHECK_FALSE(remove_unfinished_trees(at.connection, {"b", "a"}, kOwner));
    }
    SUBCASE("there are none") {
        CHECK_FALSE(remove_unfinished_trees(at.connection, {"b", "a"}, kOwner));
        CHECK(at.snapshots.empty());
        CHECK(at.removed.empty());
    }
}

}  // namespace prebake::bake::lease_test
