#include "agent/ledger/catalog.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <utility>

#include "tests/unit/ledger/scripted_node.h"

namespace prebake::ledger {
namespace {

using tests::Spec;

constexpr const char* kNs = "k8s.io";

std::shared_ptr<const store::BakedImages> baked(const std::vector<Spec>& specs) {
    v1::BakeRecord record;
    for (const Spec& spec : specs) {
        v1::BakedImage& image = *record.add_images();
        image = spec.contents();
        v1::Placement& placement = *image.add_placements();
        placement.set_namespace_(kNs);
        placement.add_names(spec.name);
    }
    return std::make_shared<const store::BakedImages>(std::move(record));
}

std::vector<std::string> names_of(const std::vector<CatalogImage*>& images) {
    std::vector<std::string> names;
    for (const CatalogImage* image : images) names.push_back(image->key.image);
    return names;
}

TEST_CASE("images are in the order of the record") {
    Catalog catalog;
    std::vector<Spec> specs;
    std::vector<std::string> names;
    for (const char* name : {"d", "b", "a", "e", "c"}) {
        specs.push_back({.name = name, .layers = {{name, 1}}});
        names.emplace_back(name);
    }
    catalog.set_baked(baked(specs));
    CHECK(names_of(catalog.images(kNs)) == names);

    std::reverse(specs.begin(), specs.end());
    std::reverse(names.begin(), names.end());
    catalog.set_baked(baked(specs));
    CHECK(names_of(catalog.images(kNs)) == names);

    const Spec pulled{.name = "f", .layers = {{"f", 1}}};
    catalog.place(kNs, pulled.name, summarize(pulled.contents()));
    names.insert(names.begin(), pulled.name);
    CHECK(names_of(catalog.images(kNs)) == names);
}

TEST_CASE("of two baked images with one top layer the first of the record owns it") {
    const Spec one{.name = "one", .layers = {{"shared", 1}}};
    const Spec two{.name = "two", .layers = {{"shared", 1}}};
    const oci::Digest chain = oci::Digest::parse(one.top());
    Catalog catalog;
    catalog.set_baked(baked({one, two}));
    CHECK(catalog.owner_of_chain(kNs, chain).image->key.image == "one");
    catalog.set_baked(baked({two, one}));
    CHECK(catalog.owner_of_chain(kNs, chain).image->key.image == "two");
    catalog.remove(kNs, "two");
    CHECK(catalog.owner_of_chain(kNs, chain).image->key.image == "one");
}

TEST_CASE("an image that was removed from the record is not baked") {
    const Spec one{.name = "one", .layers = {{"one", 1}}};
    const Spec two{.name = "two", .layers = {{"two", 1}}};
    Catalog catalog;
    catalog.set_baked(baked({one, two}));
    catalog.set_baked(baked({two}));
    REQUIRE(catalog.find(kNs, "one") != nullptr);
    CHECK_FALSE(catalog.find(kNs, "one")->is_baked);
    CHECK(catalog.find(kNs, "two")->position == 0U);
    CHECK(catalog.recorded().size() == 1);
    catalog.remove(kNs, "one");
    CHECK(catalog.find_or_recorded(kNs, "one") == nullptr);
    CHECK_FALSE(catalog.owner_of_chain(kNs, oci::Digest::parse(one.top())).is_known);
}

TEST_CASE("an image ID that moves between manifests with one config is no new image") {
    const Spec gzip{.name = "a:1", .layers = {{"gzip", 1}}};
    const Spec zstd{.name = "a:1-zstd", .layers = {{"zstd", 1}}};
    const std::string id = tests::digest("config");
    Catalog catalog;
    for (const Spec& spec : {gzip, zstd, gzip}) {
        CAPTURE(spec.name);
        catalog.place(kNs, spec.name, summarize(spec.contents()));
        CHECK(catalog.place(kNs, id, summarize(spec.contents())).is_alias);
        CHECK(catalog.find(kNs, id)->key.image == spec.name);
    }
    CHECK(catalog.images(kNs).size() == 2);
}

}  // namespace
}  // namespace prebake::ledger
