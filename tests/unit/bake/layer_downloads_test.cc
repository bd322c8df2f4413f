#include "agent/bake/layer_downloads.h"

#include <doctest/doctest.h>

#include "agent/base/error.h"
#include "tests/unit/bake/fake_store.h"
#include "tests/unit/bake/test_image.h"

namespace prebake::bake::layer_downloads_test {

using test::FakeLayers;
using test::FakeStore;
using test::image_of;
using test::Notices;

const std::string kNamespace = "k8s.io";

/// An image with the layers "one" and "two".
struct Fixture {
    FakeStore store;
    FakeLayers registry;
    Notices notices;
    ResolvedImage image = image_of("a:1", {"one", "two"});
    BlobRepositories repositories;
    BlobFetcher fetcher{store, registry, notices, repositories};
    std::stop_source stop;

    Fixture() { add_repository(repositories, image); }
    void serve(const std::string& layer) {
        registry.layers[{"library/a", oci::Digest::of(layer)}] = {layer};
    }
};

TEST_CASE("started layers are stored, others are not") {
    Fixture at;
    at.serve("one");
    at.serve("two");
    WorkerPool pool(2);
    LayerDownloads downloads(at.image, kNamespace, at.fetcher, at.stop.get_token());
    downloads.start(1, pool);
    CHECK_FALSE(downloads.wait_for(0));
    CHECK(downloads.wait_for(1));
    CHECK(downloads.bytes_fetched() == 3);
    CHECK_FALSE(at.store.has(kNamespace, "one"));
    CHECK(at.store.has(kNamespace, "two"));
}

TEST_CASE("a layer that was stopped reports the failure that stopped it") {
    Fixture at;
    at.serve("one");
    WorkerPool pool(1);  // "two" runs first
    LayerDownloads downloads(at.image, kNamespace, at.fetcher, at.stop.get_token());
    downloads.start(1, pool);
    downloads.start(0, pool);
    CHECK_THROWS_WITH_AS(downloads.wait_for(0),
                         doctest::Contains(oci::Digest::of("two").str().c_str()), Error);
    CHECK_FALSE(at.store.has(kNamespace, "one"));
}

TEST_CASE("a stop request stops all layers") {
    Fixture at;
    at.serve("one");
    at.stop.request_stop();
    WorkerPool pool(1);
    LayerDownloads downloads(at.image, kNamespace, at.fetcher, at.stop.get_token());
    downloads.start(0, pool);
    try {
        downloads.wait_for(0);
        FAIL("nothing was thrown");
    } catch (const Error& error) {
        CHECK(error.code() == Errc::cancelled);
    }
    CHECK(at.registry.opened.empty());
}

}  // namespace prebake::bake::layer_downloads_test
