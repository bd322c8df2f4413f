#include "agent/bake/fetch.h"

#include <doctest/doctest.h>

#include <thread>

#include "agent/base/error.h"
#include "tests/unit/bake/fake_store.h"
#include "tests/unit/bake/test_image.h"

namespace prebake::bake {
namespace {

using test::FakeLayers;
using test::FakeStore;
using test::image_of;
using test::Notices;

const std::string kSource = "containerd.io/distribution.source.docker.io";
const std::string kLayer = "the bytes of a layer";
const std::string kHalf = kLayer.substr(0, 10);

/// A fetcher over fakes, for some images. The registry has all their layers.
struct Fixture {
    FakeStore store;
    FakeLayers registry;
    Notices notices;
    std::vector<ResolvedImage> images;
    BlobRepositories repositories;
    std::optional<BlobFetcher> fetcher;

    explicit Fixture(std::vector<ResolvedImage> of, std::vector<std::string> other_namespaces = {})
        : images(std::move(of)) {
        for (const ResolvedImage& image : images) add_repository(repositories, image);
        fetcher.emplace(store, registry, notices, repositories, std::move(other_namespaces));
        for (const ResolvedImage& image : images) serve(image, kLayer);
    }

    void serve(const ResolvedImage& image, const std::string& layer, const std::string& bytes,
               std::optional<Error> failure = {}) {
        registry.layers[{image.request.reference.repository, oci::Digest::of(layer)}] = {
            bytes, std::move(failure)};
    }
    void serve(const ResolvedImage& image, const std::string& layer) { serve(image, layer, layer); }
    /// Stores the first layer of the image.
    std::uint64_t fetch(std::size_t image = 0, const std::string& ns = "k8s.io",
                        const std::stop_token& stop = {}) {
        return fetcher->ensure({.image = images[image],
                                .ns = ns,
                                .blob = images[image].contents.layers.front(),
                                .labels = {},
                                .bytes = nullptr,
                                .stop = stop});
    }
    /// Stores the manifest of the image.
    std::uint64_t store_manifest(const store::Labels& labels, std::size_t image = 0) {
        return fetcher->ensure({.image = images[image],
                                .ns = "k8s.io",
                                .blob = images[image].manifest.descriptor,
                                .labels = labels,
                                .bytes = &images[image].manifest.bytes,
                                .stop = {}});
    }
    store::Labels labels() const { return store.labels("k8s.io", kLayer); }
};

template <typename Work>
Errc error_of(Work work) {
    try {
        work();
    } catch (const Error& error) {
        return error.code();
    }
    FAIL("nothing was thrown");
    return Errc::internal;
}

TEST_CASE("a layer is stored from where it costs least") {
    struct Row {
        const char* name;
        std::function<void(FakeStore&)> prepare;
        std::vector<FakeLayers::Opened> opened;  ///< at the registry
        std::uint64_t fetched;
        bool has_changed;
        int label_calls;
    };
    const std::vector<FakeLayers::Opened> nothing;
    const std::uint64_t all = kLayer.size();
    const std::vector<Row> rows{
        {"from the registry", [](FakeStore&) {}, {{"library/a", 0}}, all, true, 0},
        {"resumed where an earlier bake stopped",
         [](FakeStore& store) {
             store.ingests[{"k8s.io", oci::Digest::of(kLayer)}] = kHalf;
         },
         {{"library/a", 10}},
         all - 10,
         true,
         0},
        {"an ingest that lacks only its commit",
         [](FakeStore& store) {
             store.ingests[{"k8s.io", oci::Digest::of(kLayer)}] = kLayer;
         },
         nothing, 0, true, 0},
        {"already there, without labels", [](FakeStore& store) { store.add("k8s.io", kLayer); },
         nothing, 0, true, 1},
        {"already there, with labels",
         [](FakeStore& store) {
             store.add("k8s.io", kLayer, {{kSource, "library/a"}});
         },
         nothing, 0, false, 0},
        {"adopted from a namespace of the image",
         [](FakeStore& store) { store.add("moby", kLayer); }, nothing, 0, true, 0},
        {"copied from a namespace of the image that does not share",
         [](FakeStore& store) {
             store.add("moby", kLayer);
             store.shares = false;
         },
         nothing, 0, true, 0},
        {"copied from another namespace that does not share",
         [](FakeStore& store) {
             store.add("elsewhere", kLayer);
             store.shares = false;
         },
         nothing, 0, true, 0},
        {"a namespace that is not searched and does not share",
         [](FakeStore& store) {
             store.add("unknown", kLayer);
             store.shares = false;
         },
         {{"library/a", 0}},
         all,
         true,
         0},
        {"its file is lost",
         [](FakeStore& store) {
             store.add("k8s.io", kLayer);
             store.lose_file(kLayer);
         },
         {{"library/a", 0}},
         all,
         true,
         0},
        {"its file is lost, also in a namespace that does not share",
         [](FakeStore& store) {
             store.add("k8s.io", kLayer);
             store.add("moby", kLayer);
             store.lose_file(kLayer);
             store.shares = false;
         },
         {{"library/a", 0}},
         all,
         true,
         0},
        {"containerd is restarted in the middle",
         [](FakeStore& store) { store.failing_writes = 1; },
         {{"library/a", 0}, {"library/a", 10}},
         all - 10,
         true,
         0},
        {"containerd is restarted before the first byte",
         [](FakeStore& store) { store.failing_opens = 2; },
         {{"library/a", 0}},
         all,
         true,
         0},
        {"containerd is restarted after it committed",
         [](FakeStore& store) { store.failing_commits = 1; },
         {{"library/a", 0}},
         all,
         true,
         0},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Fixture at({image_of("a:1", {kLayer}, {"k8s.io", "moby"})}, {"k8s.io", "elsewhere"});
        row.prepare(at.store);
        CHECK(at.fetch() == row.fetched);
        CHECK(at.notices.received == row.fetched);
        CHECK(at.registry.opened == row.opened);
        CHECK(at.fetcher->has_changed() == row.has_changed);
        CHECK(at.store.label_calls == row.label_calls);
        CHECK(at.labels() == store::Labels{{kSource, "library/a"}});
        CHECK(at.store.files.at(oci::Digest::of(kLayer)) == kLayer);
        CHECK(at.fetch() == 0);
        CHECK(at.registry.opened == row.opened);
    }
}

TEST_CASE("layers are counted by the way they were stored") {
    struct Row {
        const char* name;
        std::function<void(FakeStore&)> prepare;
        std::size_t in_place;
        std::size_t streamed;
    };
    const std::vector<Row> rows{
        {"in place", [](FakeStore&) {}, 1, 0},
        {"as a stream", [](FakeStore& store) { store.is_visible = false; }, 0, 1},
        {"at the second attempt", [](FakeStore& store) { store.failing_writes = 1; }, 1, 0},
        {"adopted", [](FakeStore& store) { store.add("moby", kLayer); }, 0, 0},
        {"there already", [](FakeStore& store) { store.add("k8s.io", kLayer); }, 0, 0},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Fixture at({image_of("a", {kLayer})});
        row.prepare(at.store);
        at.fetch();
        CHECK(at.fetcher->written_in_place() == row.in_place);
        CHECK(at.fetcher->streamed() == row.streamed);
    }
}

TEST_CASE("a blob that is already there keeps the labels of other clients") {
    Fixture at({image_of("a:1", {kLayer})});
    at.store.add("k8s.io", kLayer, {{kSource, "library/x"}, {"of", "others"}});
    at.fetch();
    CHECK(at.labels() == store::Labels{{kSource, "library/a,library/x"}, {"of", "others"}});
}

TEST_CASE("what is left of a lost file is removed before the blob is stored again") {
    Fixture at({image_of("a:1", {kLayer})});
    at.store.add("k8s.io", kLayer);
    at.store.lose_file(kLayer);
    at.fetch();
    CHECK(at.store.removed == std::vector<FakeStore::Key>{{"k8s.io", oci::Digest::of(kLayer)}});
    REQUIRE(at.notices.texts.size() == 1);
    CHECK(at.notices.texts.front().find(oci::Digest::of(kLayer).str()) != std::string::npos);
}

TEST_CASE("a lost file that containerd adopts from another namespace is an error") {
    Fixture at({image_of("a:1", {kLayer})});
    at.store.add("moby", kLayer);
    at.store.lose_file(kLayer);
    CHECK(error_of([&] { at.fetch(); }) == Errc::corrupt);
}

TEST_CASE("a damaged document is stored again, in all namespaces of the image") {
    Fixture at({image_of("a", {}, {"k8s.io", "moby"})});
    const std::string& bytes = at.images[0].manifest.bytes;
    const oci::Digest digest = oci::Digest::of(bytes);
    at.store.add("k8s.io", bytes);
    at.store.add("moby", bytes);
    at.store.files[digest] = std::string(bytes.size(), 'x');
    at.store_manifest({});
    CHECK(at.store.files[digest] == bytes);
    CHECK(at.store.removed == std::vector<FakeStore::Key>{{"k8s.io", digest}, {"moby", digest}});
    CHECK(at.notices.texts.size() == 1);
    at.store.removed.clear();
    at.store_manifest({});
    CHECK_MESSAGE(at.store.removed.empty(), "it is sound now");

    Fixture kept({image_of("a", {})});
    kept.store.add("k8s.io", bytes);
    kept.store.add("elsewhere", bytes);
    kept.store.files[digest] = std::string(bytes.size(), 'x');
    // As containerd, which adopts the file that the other namespace has.
    kept.store.puts_adopt = true;
    CHECK(error_of([&] { kept.store_manifest({}); }) == Errc::corrupt);
}

TEST_CASE("a damaged layer is fetched again, once, and keeps its labels") {
    Fixture at({image_of("a", {kLayer}, {"k8s.io", "moby"})});
    const oci::Digest digest = oci::Digest::of(kLayer);
    const auto replace = [&](std::uint64_t& fetched) {
        return at.fetcher->replace_damaged({.image = at.images[0],
                                            .ns = "k8s.io",
                                            .blob = at.images[0].contents.layers[0],
                                            .labels = {},
                                            .bytes = nullptr,
                                            .stop = {}},
                                           fetched);
    };
    std::uint64_t fetched = 0;
    CHECK_FALSE_MESSAGE(replace(fetched), "there is none");
    at.store.add("k8s.io", kLayer, {{"label", "of a client"}});
    at.store.add("moby", kLayer);
    CHECK_FALSE_MESSAGE(replace(fetched), "it is sound");
    CHECK(at.registry.opened.empty());

    at.store.files[digest] = std::string(kLayer.size(), 'x');
    CHECK(replace(fetched));
    CHECK(fetched == kLayer.size());
    CHECK(at.store.files[digest] == kLayer);
    CHECK(at.store.has("moby", kLayer));
    CHECK(at.labels().at("label") == "of a client");
    CHECK_MESSAGE(replace(fetched), "another image waited for it");
    CHECK(at.registry.opened.size() == 1);
}

TEST_CASE("layers that cannot be stored") {
    struct Row {
        const char* name;
        std::function<void(Fixture&)> prepare;
        Errc code;
        std::size_t opened;
    };
    const std::vector<Row> rows{
        {"not in the registry", [](Fixture& at) { at.registry.layers.clear(); }, Errc::not_found,
         1},
        {"other bytes than the digest says",
         [](Fixture& at) { at.serve(at.images[0], kLayer, "THE BYTES of a layer"); }, Errc::corrupt,
         1},
        {"the registry goes away: it was retried already",
         [](Fixture& at) {
             at.serve(at.images[0], kLayer, kHalf, Error(Errc::unavailable, "registry"));
         },
         Errc::unavailable, 1},
        {"containerd keeps going away", [](Fixture& at) { at.store.failing_writes = 100; },
         Errc::unavailable, 6},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Fixture at({image_of("a:1", {kLayer})});
        row.prepare(at);
        CHECK(error_of([&] { at.fetch(); }) == row.code);
        CHECK(at.registry.opened.size() == row.opened);
        CHECK_FALSE(at.store.has("k8s.io", kLayer));
        CHECK_FALSE(at.fetcher->has_changed());
    }
}

TEST_CASE("bytes that arrived before an error are resumed from") {
    Fixture at({image_of("a:1", {kLayer})});
    at.serve(at.images[0], kLayer, kHalf, Error(Errc::unavailable, "registry"));
    CHECK(error_of([&] { at.fetch(); }) == Errc::unavailable);
    at.serve(at.images[0], kLayer);
    CHECK(at.fetch() == kLayer.size() - kHalf.size());
    CHECK(at.registry.opened.back().offset == kHalf.size());
}

TEST_CASE("a stop request ends a fetch before it starts") {
    Fixture at({image_of("a:1", {kLayer})});
    std::stop_source stop;
    stop.request_stop();
    CHECK(error_of([&] { at.fetch(0, "k8s.io", stop.get_token()); }) == Errc::cancelled);
    CHECK(at.registry.opened.empty());
}

TEST_CASE("two images with one blob") {
    Fixture at({image_of("a:1", {kLayer}), image_of("b:1", {kLayer})});
    SUBCASE("fetch it once, and it gets the repositories of both at the commit") {
        CHECK(at.fetch(0) == kLayer.size());
        CHECK(at.fetch(1) == 0);
        CHECK(at.store.label_calls == 0);
    }
    SUBCASE("the second one stores it if the first one's repository has it broken") {
        at.serve(at.images[0], kLayer, "THE BYTES of a layer");
        CHECK(error_of([&] { at.fetch(0); }) == Errc::corrupt);
        CHECK(at.fetch(1) == kLayer.size());
    }
    CHECK(at.labels() == store::Labels{{kSource, "library/a,library/b"}});
}

TEST_CASE("images that share a blob lose no label when they store it at the same time") {
    std::vector<ResolvedImage> images;
    for (const char* name : {"a:1", "b:1", "c:1", "d:1", "e:1", "f:1"}) {
        images.push_back(image_of(name, {kLayer}));
    }
    Fixture at(images);
    at.store.add("k8s.io", kLayer, {{kSource, "library/x"}});
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < images.size(); ++i) {
            threads.emplace_back([&at, i] { at.fetch(i); });
        }
    }
    CHECK(at.registry.opened.empty());
    CHECK(at.labels() ==
          store::Labels{
              {kSource, "library/a,library/b,library/c,library/d,library/e,library/f,library/x"}});
}

TEST_CASE("each namespace gets a blob of its own") {
    Fixture at({image_of("a:1", {kLayer}, {"k8s.io", "moby"})});
    CHECK(at.fetch(0, "k8s.io") == kLayer.size());
    CHECK(at.fetch(0, "moby") == 0);
    CHECK(at.store.has("moby", kLayer));
    CHECK(at.registry.opened.size() == 1);
}

TEST_CASE("a document is stored from the bytes that were read already") {
    const ResolvedImage image = image_of("a:1", {});
    const std::string& bytes = image.manifest.bytes;
    const store::Labels gc{{"gc", "child"}};
    Fixture at({image});
    SUBCASE("with its labels") {
        CHECK(at.store_manifest(gc) == 0);
        CHECK(at.store.label_calls == 0);
        CHECK(at.store.labels("k8s.io", bytes) ==
              store::Labels{{"gc", "child"}, {kSource, "library/a"}});
    }
    SUBCASE("beside the labels of other clients, if it is there") {
        at.store.add("k8s.io", bytes, {{kSource, "library/x"}, {"of", "others"}});
        at.store_manifest(gc);
        CHECK(at.store.labels("k8s.io", bytes) ==
              store::Labels{{"gc", "child"}, {kSource, "library/a,library/x"}, {"of", "others"}});
    }
    SUBCASE("with the children of both images that have it") {
        at.store_manifest(gc);
        at.store_manifest({{"gc", "child"}, {"gc2", "layer"}});
        CHECK(at.store.labels("k8s.io", bytes) ==
              store::Labels{{"gc", "child"}, {"gc2", "layer"}, {kSource, "library/a"}});
    }
    CHECK(at.registry.opened.empty());
}

TEST_CASE("a blob that vanishes before it gets its labels is an error") {
    Fixture at({image_of("a:1", {kLayer})});
    CHECK(error_of([&] {
              at.fetcher->label(at.images[0], "k8s.io", oci::Digest::of(kLayer), {{"a", "b"}});
          }) == Errc::not_found);
}

}  // namespace
}  // namespace prebake::bake
