#include "agent/store/labels.h"

#include <doctest/doctest.h>

namespace prebake::store {
namespace {

oci::Digest digest(char digit) {
    return oci::Digest::parse("sha256:" + std::string(64, digit));
}

oci::Descriptor descriptor(const std::string& media_type, char digit) {
    return {.media_type = media_type,
            .digest = digest(digit),
            .size = 1,
            .annotations = {},
            .platform = {}};
}

const std::string kConfig = "application/vnd.oci.image.config.v1+json";
const std::string kManifest = "application/vnd.oci.image.manifest.v1+json";
const std::string kIndex = "application/vnd.oci.image.index.v1+json";
const std::string kGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
const std::string kDockerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";

TEST_CASE("a manifest refers to its config and its layers") {
    const oci::Manifest manifest{.media_type = kManifest,
                                 .config = descriptor(kConfig, 'a'),
                                 .layers = {descriptor(kGzip, 'b'), descriptor(kDockerGzip, 'c')}};
    CHECK(gc_labels(manifest, LayerReferences::keep) ==
          Labels{{"containerd.io/gc.ref.content.config", digest('a').str()},
                 {"containerd.io/gc.ref.content.l.0", digest('b').str()},
                 {"containerd.io/gc.ref.content.l.1", digest('c').str()}});
    CHECK(gc_labels(manifest, LayerReferences::drop) ==
          Labels{{"containerd.io/gc.ref.content.config", digest('a').str()}});
}

TEST_CASE("an index refers to every child, manifests and others counted apart") {
    const oci::Index index{
        .media_type = kIndex,
        .manifests = {descriptor(kManifest, 'a'), descriptor(kIndex, 'b'),
                      descriptor(kManifest, 'c'), descriptor("text/plain", 'd')}};
    CHECK(gc_labels(index) == Labels{{"containerd.io/gc.ref.content.m.0", digest('a').str()},
                                     {"containerd.io/gc.ref.content.0", digest('b').str()},
                                     {"containerd.io/gc.ref.content.m.1", digest('c').str()},
                                     {"containerd.io/gc.ref.content.1", digest('d').str()}});
}

TEST_CASE("a target refers to each of its signatures, under a name of its own") {
    CHECK(referrer_gc_labels({}).empty());
    CHECK(referrer_gc_labels({digest('a'), digest('b')}) ==
          Labels{{"containerd.io/gc.ref.content.referrer.sha256.aaaaaaaaaaaa", digest('a').str()},
                 {"containerd.io/gc.ref.content.referrer.sha256.bbbbbbbbbbbb", digest('b').str()}});
}

TEST_CASE("distribution.source") {
    const auto reference = oci::Reference::parse("localhost:5000/team/app:1");
    CHECK(source_label(reference) == "containerd.io/distribution.source.localhost");
    CHECK(source_value("", reference) == "team/app");
    CHECK(source_value("team/app", reference) == "team/app");
    CHECK(source_value("zeta,alpha", reference) == "alpha,team/app,zeta");
    const std::string full(4080, 'x');
    CHECK(source_value(full, reference) == full);
}

TEST_CASE("the snapshot label carries the snapshotter") {
    CHECK(snapshot_gc_label("overlayfs") == "containerd.io/gc.ref.snapshot.overlayfs");
}

TEST_CASE("the repositories of a blob are one label for each registry host") {
    const auto reference = [](const char* text) { return oci::Reference::parse(text); };
    const std::string hub = "containerd.io/distribution.source.docker.io";
    const std::string other = "containerd.io/distribution.source.example.org";
    CHECK(source_labels({}, {}) == Labels{});
    CHECK(source_labels({}, {reference("b:1"), reference("a:1"), reference("example.org/c:1")}) ==
          Labels{{hub, "library/a,library/b"}, {other, "c"}});
    CHECK(source_labels({{hub, "library/x"}, {"of", "others"}}, {reference("b:1")}) ==
          Labels{{hub, "library/b,library/x"}});
}

TEST_CASE("missing labels") {
    const Labels held{{"a", "1"}, {"b", "2"}};
    CHECK(missing_labels(held, {{"a", "1"}}) == Labels{});
    CHECK(missing_labels(held, {{"a", "2"}, {"c", "3"}}) == Labels{{"a", "2"}, {"c", "3"}});
    CHECK(missing_labels(held, {{"b", ""}, {"c", ""}}) == Labels{{"b", ""}});
}

}  // namespace
}  // namespace prebake::store
