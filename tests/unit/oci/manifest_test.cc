#include "agent/oci/manifest.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/unit/base/thrown.h"

using prebake::Errc;
using prebake::Error;
using prebake::oci::Digest;
using prebake::oci::Index;
using prebake::oci::Manifest;
using prebake::oci::MediaKind;
using prebake::tests::contains;
using prebake::tests::thrown_by;

namespace {

const std::string kOciManifest = "application/vnd.oci.image.manifest.v1+json";
const std::string kOciIndex = "application/vnd.oci.image.index.v1+json";
const std::string kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
const std::string kDockerIndex = "application/vnd.docker.distribution.manifest.list.v2+json";
const std::string kConfigType = "application/vnd.oci.image.config.v1+json";
const std::string kLayerType = "application/vnd.oci.image.layer.v1.tar+gzip";

const std::string kDigestA = "sha256:" + std::string(64, 'a');
const std::string kDigestB = "sha256:" + std::string(64, 'b');

/// {"mediaType":...,"digest":...,"size":...,<more>}
std::string descriptor(const std::string& media_type, const std::string& digest,
                       const std::string& size, const std::string& more = "") {
    return R"({"mediaType":")" + media_type + R"(","digest":")" + digest + R"(","size":)" + size +
           (more.empty() ? "" : "," + more) + "}";
}

const std::string kConfig = descriptor(kConfigType, kDigestA, "7");
const std::string kLayer = descriptor(kLayerType, kDigestB, "9");
const std::string kChild =
    descriptor(kOciManifest, kDigestA, "7", R"("platform":{"os":"linux","architecture":"amd64"})");

std::string manifest_with_layers(const std::string& layers) {
    return R"({"schemaVersion":2,"config":)" + kConfig + R"(,"layers":)" + layers + "}";
}

std::string manifest_with_layer(const std::string& layer) {
    return manifest_with_layers(std::string("[").append(layer).append("]"));
}

std::string index_of(const std::string& children) {
    return R"({"schemaVersion":2,"manifests":)" + children + "}";
}

std::string image_config(const std::string& diff_ids) {
    return R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":)" +
           diff_ids + "}}";
}

/// `count` times `item`, as a JSON list.
std::string list_of(std::size_t count, const std::string& item) {
    std::string list = "[";
    for (std::size_t i = 0; i < count; ++i) list += (i == 0 ? "" : ",") + item;
    return list + "]";
}

std::string json_string(const std::string& text) {
    std::string quoted(1, '"');
    return quoted.append(text).append(1, '"');
}

std::string nested_lists(std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
}

struct RefusedCase {
    const char* name;
    std::string json;
    Errc code;
    const char* reason;
};

/// Defects for which each of the three documents is refused.
const std::vector<RefusedCase> kRefusedJson = {
    {"empty", "", Errc::corrupt, "JSON is malformed"},
    {"white space", " \n", Errc::corrupt, "JSON is malformed"},
    {"HTML", "<html>login</html>", Errc::corrupt, "JSON is malformed"},
    {"list", "[]", Errc::corrupt, "not an object"},
    {"null", "null", Errc::corrupt, "not an object"},
    {"string", "\"x\"", Errc::corrupt, "not an object"},
    {"second document", "{}{}", Errc::corrupt, "JSON is malformed"},
    {"comment", "/* */{}", Errc::corrupt, "JSON is malformed"},
    {"trailing comma", R"({"a":1,})", Errc::corrupt, "JSON is malformed"},
    {"not UTF-8", "{\"a\":\"\xff\"}", Errc::corrupt, "JSON is malformed"},
    {"zero byte", std::string("{}\0", 3), Errc::corrupt, "JSON is malformed"},
    {"too deep", R"({"a":)" + nested_lists(40) + "}", Errc::corrupt, "JSON is malformed"},
    {"very deep", R"({"a":)" + std::string(100'000, '['), Errc::corrupt, "JSON is malformed"},
    {"nothing in it", "{}", Errc::corrupt, "is missing"},
    {"bigger in memory than allowed", R"({"a":)" + list_of(2'150'000, "0") + "}", Errc::too_large,
     "bytes of parsed JSON"},
};

const std::vector<RefusedCase> kRefusedManifests = {
    {"no config", R"({"schemaVersion":2,"layers":[]})", Errc::corrupt, "\"config\" is missing"},
    {"null config", R"({"config":null,"layers":[]})", Errc::corrupt, "\"config\" is missing"},
    {"config is text", R"({"config":"x","layers":[]})", Errc::corrupt, "not an object"},
    {"no layers", R"({"config":)" + kConfig + "}", Errc::corrupt, "\"layers\" is missing"},
    {"layers is an object", manifest_with_layers("{}"), Errc::corrupt, "\"layers\" is not a list"},
    {"layer is a number", manifest_with_layer("1"), Errc::corrupt, "layers[0]: "},
    {"second layer is named", manifest_with_layer(kLayer + ",{}"), Errc::corrupt, "layers[1]: "},
    {"too many layers", manifest_with_layers(list_of(501, kLayer)), Errc::too_large,
     "501 layers, allowed are 500"},
    {"other schema", R"({"schemaVersion":3})", Errc::corrupt, "\"schemaVersion\" is not 2"},
    {"schema as text", R"({"schemaVersion":"2"})", Errc::corrupt, "\"schemaVersion\" is not 2"},
    {"schema 1", R"({"schemaVersion":1})", Errc::unsupported, "schema 1"},
    {"schema 1 by fsLayers", R"({"fsLayers":[]})", Errc::unsupported, "schema 1"},
    {"schema 1 by signatures", R"({"signatures":[]})", Errc::unsupported, "schema 1"},
    {"really an index", index_of("[]"), Errc::corrupt, "has \"manifests\""},
    {"both at once", R"({"config":)" + kConfig + R"(,"layers":[],"manifests":null})", Errc::corrupt,
     "has \"manifests\""},
    {"calls itself an index", R"({"mediaType":")" + kOciIndex + R"("})", Errc::corrupt,
     "calls itself"},
    {"calls itself Docker's", R"({"mediaType":")" + kDockerManifest + R"("})", Errc::corrupt,
     "calls itself"},
    {"own type is a number", R"({"mediaType":7})", Errc::corrupt, "\"mediaType\" is not a string"},
};

/// Of a layer; the same code parses configs and children.
const std::vector<RefusedCase> kRefusedDescriptors = {
    {"no media type", R"({"digest":")" + kDigestA + R"(","size":1})", Errc::corrupt,
     "\"mediaType\" is missing"},
    {"empty media type", descriptor("", kDigestA, "1"), Errc::corrupt, "\"mediaType\" is empty"},
    {"long media type", descriptor(std::string(256, 'm'), kDigestA, "1"), Errc::too_large,
     "\"mediaType\""},
    {"no digest", R"({"mediaType":"m","size":1})", Errc::corrupt, "\"digest\" is missing"},
    {"null digest", R"({"mediaType":"m","digest":null,"size":1})", Errc::corrupt,
     "\"digest\" is missing"},
    {"number for a digest", R"({"mediaType":"m","digest":1,"size":1})", Errc::corrupt,
     "\"digest\" is not a string"},
    {"short digest", descriptor("m", "sha256:abc", "1"), Errc::corrupt, "3 hex digits"},
    {"path for a digest", descriptor("m", "../../etc/passwd", "1"), Errc::corrupt, "malformed"},
    {"sha512", descriptor("m", "sha512:" + std::string(128, 'a'), "1"), Errc::unsupported,
     "sha512"},
    {"no size", R"({"mediaType":"m","digest":")" + kDigestA + R"("})", Errc::corrupt,
     "\"size\" is missing"},
    {"negative size", descriptor("m", kDigestA, "-1"), Errc::corrupt, "whole number"},
    {"fraction", descriptor("m", kDigestA, "1.5"), Errc::corrupt, "whole number"},
    {"exponent", descriptor("m", kDigestA, "1e3"), Errc::corrupt, "whole number"},
    {"text for a size", descriptor("m", kDigestA, "\"1\""), Errc::corrupt, "whole number"},
    {"over 256 TiB", descriptor("m", kDigestA, "281474976710657"), Errc::too_large, "one blob"},
    {"over 63 bits", descriptor("m", kDigestA, "18446744073709551615"), Errc::too_large,
     "one blob"},
    {"over 64 bits", descriptor("m", kDigestA, "18446744073709551616"), Errc::corrupt,
     "whole number"},
    {"annotations are a list", descriptor("m", kDigestA, "1", R"("annotations":[])"), Errc::corrupt,
     "\"annotations\" is not an object"},
    {"annotation is a number", descriptor("m", kDigestA, "1", R"("annotations":{"a":1})"),
     Errc::corrupt, "\"annotations\" is not a string"},
};

/// Keys "0" to "<count-1>".
std::string annotations(std::size_t count) {
    std::string object = R"("annotations":{)";
    for (std::size_t i = 0; i < count; ++i) {
        object += (i == 0 ? "\"" : ",\"") + std::to_string(i) + R"(":"v")";
    }
    return object + "}";
}

/// `parse` on every prefix and on every document with one byte replaced.
template <typename Parse>
void check_robust(const std::string& json, Parse parse) {
    for (std::size_t length = 0; length < json.size(); ++length) {
        CAPTURE(length);
        CHECK(thrown_by([&] { parse(json.substr(0, length)); }).code() == Errc::corrupt);
    }
    for (std::size_t at = 0; at < json.size(); ++at) {
        for (const char byte : {'\0', '"', '{', ']', '-', '9', ' ', '\\', '\xff'}) {
            std::string damaged = json;
            damaged[at] = byte;
            CAPTURE(damaged);
            try {
                parse(damaged);  // some damage is harmless: a digit of a size, a letter of a key
            } catch (const Error& error) {
                CHECK((error.code() == Errc::corrupt || error.code() == Errc::unsupported ||
                       error.code() == Errc::too_large));
            }
        }
    }
}

}  // namespace

TEST_CASE("media types have their kinds") {
    struct Case {
        std::string media_type;
        MediaKind kind;
        bool is_layer;
    };
    const std::string docker = "application/vnd.docker.";
    const std::string oci_layer = "application/vnd.oci.image.layer.";
    for (const Case& row : std::vector<Case>{
             {kOciIndex, MediaKind::index, false},
             {kDockerIndex, MediaKind::index, false},
             {kOciManifest, MediaKind::manifest, false},
             {kDockerManifest, MediaKind::manifest, false},
             {kDockerManifest + "; charset=utf-8", MediaKind::manifest, false},
             {kDockerManifest + " ;charset=utf-8", MediaKind::manifest, false},
             {kConfigType, MediaKind::config, false},
             {docker + "container.image.v1+json", MediaKind::config, false},
             {oci_layer + "v1.tar", MediaKind::layer_tar, true},
             {oci_layer + "v1.tar+gzip", MediaKind::layer_gzip, true},
             {oci_layer + "v1.tar+zstd", MediaKind::layer_zstd, true},
             {docker + "image.rootfs.diff.tar", MediaKind::layer_tar, true},
             {docker + "image.rootfs.diff.tar.gzip", MediaKind::layer_gzip, true},
             {docker + "image.rootfs.diff.tar.zstd", MediaKind::layer_zstd, true},
             {oci_layer + "nondistributable.v1.tar", MediaKind::foreign_layer, true},
             {oci_layer + "nondistributable.v1.tar+gzip", MediaKind::foreign_layer, true},
             {oci_layer + "nondistributable.v1.tar+zstd", MediaKind::foreign_layer, true},
             {docker + "image.rootfs.foreign.diff.tar", MediaKind::foreign_layer, true},
             {docker + "image.rootfs.foreign.diff.tar.gzip", MediaKind::foreign_layer, true},
             {docker + "distribution.manifest.v1+json", MediaKind::schema1, false},
             {docker + "distribution.manifest.v1+prettyjws", MediaKind::schema1, false},
             {"application/vnd.oci.empty.v1+json", MediaKind::other, false},
             {"application/vnd.erofs.layer.v1", MediaKind::other, false},
             {oci_layer + "v1.tar+xz", MediaKind::other, false},
             {oci_layer + "v1.tar+gzip+encrypted", MediaKind::other, false},
             {"application/json", MediaKind::other, false},
             {"", MediaKind::other, false},
         }) {
        CAPTURE(row.media_type);
        CHECK(prebake::oci::media_kind(row.media_type) == row.kind);
        CHECK(prebake::oci::is_layer(row.kind) == row.is_layer);
    }
}

TEST_CASE("all fields of a manifest are read") {
    const std::string json = R"({"schemaVersion":2,"mediaType":")" + kOciManifest +
                             R"(","config":)" + kConfig + R"(,"layers":[)" + kLayer + "," +
                             descriptor("application/x-odd", kDigestA, "281474976710656",
                                        R"("annotations":{"k":"v","e":""},"urls":["x:"])") +
                             R"(],"annotations":{"a":"b"},"subject":null,"x":[1,{"y":2.5}]})";
    const Manifest manifest =
        prebake::oci::parse_manifest(kOciManifest + "; charset=utf-8", json + "\n");
    CHECK(manifest.media_type == kOciManifest);
    CHECK(manifest.config.media_type == kConfigType);
    CHECK(manifest.config.digest == Digest::parse(kDigestA));
    CHECK(manifest.config.size == 7);
    REQUIRE(manifest.layers.size() == 2);
    CHECK(manifest.layers[0].media_type == kLayerType);
    CHECK(manifest.layers[0].digest == Digest::parse(kDigestB));
    CHECK(manifest.layers[0].size == 9);
    CHECK(manifest.layers[0].annotations.empty());
    // An unknown layer type is kept: the caller decides.
    CHECK(manifest.layers[1].media_type == "application/x-odd");
    CHECK(manifest.layers[1].size == 281474976710656);
    CHECK(manifest.layers[1].annotations ==
          std::map<std::string, std::string>{{"e", ""}, {"k", "v"}});
}

TEST_CASE("unusual but valid manifests are accepted") {
    using prebake::oci::parse_manifest;
    CHECK(parse_manifest(kOciManifest, manifest_with_layers("[]")).layers.empty());
    CHECK(parse_manifest(kOciManifest, manifest_with_layers("null")).layers.empty());
    CHECK(parse_manifest(kDockerManifest,
                         R"({"mediaType":"","config":)" + kConfig + R"(,"layers":[]})")
              .media_type == kDockerManifest);
    CHECK(parse_manifest(kOciManifest, manifest_with_layers(list_of(500, kLayer))).layers.size() ==
          500);
    const std::string nulls = R"("annotations":null,"platform":{"os":1})";
    const Manifest manifest = parse_manifest(
        kOciManifest, manifest_with_layer(descriptor(kLayerType, kDigestA, "0", nulls)));
    CHECK(manifest.layers[0].size == 0);
    CHECK_FALSE(manifest.layers[0].platform.has_value());
    CHECK(parse_manifest(kOciManifest,
                         manifest_with_layer(descriptor("m", kDigestA, "1", annotations(256))))
              .layers[0]
              .annotations.size() == 256);
}

TEST_CASE("all three refuse malformed JSON") {
    for (const RefusedCase& row : kRefusedJson) {
        CAPTURE(row.name);
        const std::vector<Error> errors = {
            thrown_by([&] { prebake::oci::parse_manifest(kOciManifest, row.json); }),
            thrown_by([&] { prebake::oci::parse_index(kOciIndex, row.json); }),
            thrown_by([&] { prebake::oci::parse_image_config(row.json); })};
        for (const Error& error : errors) {
            CHECK(error.code() == row.code);
            CHECK_MESSAGE(contains(error.message(), row.reason), error.message());
        }
    }
}

TEST_CASE("documents over their size are refused before they are parsed") {
    const std::string padding(prebake::oci::kMaxManifestBytes, ' ');
    CHECK(thrown_by([&] {
              prebake::oci::parse_manifest(kOciManifest, manifest_with_layers("[]") + padding);
          }).code() == Errc::too_large);
    CHECK(thrown_by([&] {
              prebake::oci::parse_index(kOciIndex, index_of("[]") + padding);
          }).code() == Errc::too_large);
    // The limit itself is allowed.
    std::string json = index_of("[]");
    json.resize(prebake::oci::kMaxManifestBytes, ' ');
    CHECK_NOTHROW(prebake::oci::parse_index(kOciIndex, json));

    json = image_config("[]");
    json.resize(prebake::oci::kMaxConfigBytes, ' ');
    CHECK_NOTHROW(prebake::oci::parse_image_config(json));
    CHECK(thrown_by([&] { prebake::oci::parse_image_config(json + " "); }).code() ==
          Errc::too_large);
}

TEST_CASE("invalid manifests are refused with the reason") {
    for (const RefusedCase& row : kRefusedManifests) {
        CAPTURE(row.name);
        const auto error = thrown_by([&] { prebake::oci::parse_manifest(kOciManifest, row.json); });
        CHECK(error.code() == row.code);
        CHECK_MESSAGE(contains(error.message(), row.reason), error.message());
    }
}

TEST_CASE("invalid descriptors are refused everywhere") {
    for (const RefusedCase& row : kRefusedDescriptors) {
        CAPTURE(row.name);
        struct Place {
            const char* prefix;
            Error error;
        };
        const std::vector<Place> places = {
            {"config: ", thrown_by([&] {
                 prebake::oci::parse_manifest(kOciManifest,
                                              R"({"config":)" + row.json + R"(,"layers":[]})");
             })},
            {"layers[0]: ", thrown_by([&] {
                 prebake::oci::parse_manifest(kOciManifest, manifest_with_layer(row.json));
             })},
            {"manifests[1]: ", thrown_by([&] {
                 prebake::oci::parse_index(kOciIndex,
                                           index_of("[" + kChild + "," + row.json + "]"));
             })}};
        for (const Place& place : places) {
            CHECK(place.error.code() == row.code);
            CHECK_MESSAGE(contains(place.error.message(), row.reason), place.error.message());
            CHECK_MESSAGE(place.error.message().starts_with(place.prefix), place.error.message());
        }
    }
    const std::string many = descriptor("m", kDigestA, "1", annotations(257));
    CHECK(thrown_by([&] {
              prebake::oci::parse_manifest(kOciManifest, manifest_with_layer(many));
          }).code() == Errc::too_large);
}

TEST_CASE("a document is only parsed as its media type") {
    using prebake::oci::parse_index;
    using prebake::oci::parse_manifest;
    struct Case {
        std::string media_type;
        const char* reason;
    };
    for (const Case& row : std::vector<Case>{
             {"application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"},
             {"application/json", "\"application/json\" is no image "},
             {"", "\"\" is no image "}}) {
        CAPTURE(row.media_type);
        const Error manifest =
            thrown_by([&] { parse_manifest(row.media_type, manifest_with_layers("[]")); });
        CHECK(manifest.code() == Errc::unsupported);
        CHECK(contains(manifest.message(), row.reason));
        const Error index = thrown_by([&] { parse_index(row.media_type, index_of("[]")); });
        CHECK(index.code() == Errc::unsupported);
        CHECK(contains(index.message(), row.reason));
    }
    CHECK(thrown_by([&] { parse_manifest(kOciIndex, index_of("[]")); }).code() ==
          Errc::unsupported);
    CHECK(thrown_by([&] { parse_index(kOciManifest, manifest_with_layers("[]")); }).code() ==
          Errc::unsupported);
}

TEST_CASE("all fields of an index are read") {
    const std::string attestation =
        descriptor(kOciManifest, kDigestB, "8",
                   R"("platform":{"os":"unknown","architecture":"unknown"},"annotations":{)"
                   R"("vnd.docker.reference.type":"attestation-manifest"})");
    const std::string arm =
        descriptor(kDockerManifest, kDigestB, "5",
                   R"("platform":{"os":"Linux","architecture":"aarch64","variant":"v8",)"
                   R"("os.version":"1","os.features":["x"]})");
    const std::string nested = descriptor(kOciIndex, kDigestA, "6", R"("platform":null)");
    const Index index = prebake::oci::parse_index(
        kDockerIndex, R"({"schemaVersion":2,"mediaType":")" + kDockerIndex + R"(","manifests":[)" +
                          kChild + "," + attestation + "," + arm + "," + nested + "]}");
    CHECK(index.media_type == kDockerIndex);
    REQUIRE(index.manifests.size() == 4);
    CHECK(index.manifests[0].platform->str() == "linux/amd64");
    CHECK(index.manifests[1].platform->str() == "unknown/unknown");
    CHECK(index.manifests[1].annotations.at("vnd.docker.reference.type") == "attestation-manifest");
    CHECK(index.manifests[2].platform->str() == "linux/arm64");
    CHECK(index.manifests[2].media_type == kDockerManifest);
    CHECK_FALSE(index.manifests[3].platform.has_value());
    CHECK(index.manifests[3].media_type == kOciIndex);
    CHECK(prebake::oci::parse_index(kOciIndex, index_of("null")).manifests.empty());
}

TEST_CASE("invalid indexes are refused with the reason") {
    for (const RefusedCase& row : std::vector<RefusedCase>{
             {"no manifests", R"({"schemaVersion":2})", Errc::corrupt, "\"manifests\" is missing"},
             {"manifests is text", index_of("\"x\""), Errc::corrupt, "is not a list"},
             {"really a manifest", manifest_with_layers("[]"), Errc::corrupt, "as a manifest has"},
             {"config besides", R"({"manifests":[],"config":null})", Errc::corrupt,
              "as a manifest has"},
             {"layers besides", R"({"manifests":[],"layers":[]})", Errc::corrupt,
              "as a manifest has"},
             {"calls itself a manifest",
              R"({"mediaType":")" + kOciManifest + R"(","manifests":[]})", Errc::corrupt,
              "calls itself"},
             {"schema 1", R"({"schemaVersion":1,"manifests":[]})", Errc::unsupported, "schema 1"},
             {"too many", index_of(list_of(1001, kChild)), Errc::too_large,
              "1001 manifests, allowed are 1000"},
             {"platform is text",
              index_of(list_of(1, descriptor("m", kDigestA, "1", R"("platform":"linux/amd64")"))),
              Errc::corrupt, "\"platform\" is not an object"},
             {"os is a number",
              index_of(list_of(1, descriptor("m", kDigestA, "1", R"("platform":{"os":1})"))),
              Errc::corrupt, "\"os\" is not a string"},
         }) {
        CAPTURE(row.name);
        const auto error = thrown_by([&] { prebake::oci::parse_index(kOciIndex, row.json); });
        CHECK(error.code() == row.code);
        CHECK_MESSAGE(contains(error.message(), row.reason), error.message());
    }
    CHECK(prebake::oci::parse_index(kOciIndex, index_of(list_of(1000, kChild))).manifests.size() ==
          1000);
}

TEST_CASE("an image config has the platform and the diffIDs, bottom first") {
    const auto config = prebake::oci::parse_image_config(
        R"({"architecture":"arm","os":"linux","variant":"v6","config":{"Cmd":["sh"]},"rootfs":)"
        R"({"type":"layers","diff_ids":[")" +
        kDigestB + R"(",")" + kDigestA + R"("]},"history":[{"created_by":"x"}]})");
    CHECK(config.platform.str() == "linux/arm/v6");
    CHECK(config.diff_ids == std::vector<Digest>{Digest::parse(kDigestB), Digest::parse(kDigestA)});
    CHECK(prebake::oci::parse_image_config(image_config("null")).diff_ids.empty());
}

TEST_CASE("invalid image configs are refused with the reason") {
    const std::string rootfs = R"("rootfs":{"type":"layers","diff_ids":[]}})";
    for (const RefusedCase& row : std::vector<RefusedCase>{
             {"no os", R"({"architecture":"amd64",)" + rootfs, Errc::corrupt, "\"os\" is missing"},
             {"empty os", R"({"os":"","architecture":"amd64",)" + rootfs, Errc::corrupt,
              "\"os\" is empty"},
             {"no architecture", R"({"os":"linux",)" + rootfs, Errc::corrupt,
              "\"architecture\" is missing"},
             {"variant is a number", R"({"os":"linux","architecture":"arm","variant":7,)" + rootfs,
              Errc::corrupt, "\"variant\" is not a string"},
             {"no rootfs", R"({"os":"linux","architecture":"amd64"})", Errc::corrupt,
              "\"rootfs\" is missing"},
             {"rootfs is a list", R"({"os":"linux","architecture":"amd64","rootfs":[]})",
              Errc::corrupt, "\"rootfs\" is not an object"},
             {"rootfs without type",
              R"({"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]}})", Errc::corrupt,
              "\"type\" is missing"},
             {"rootfs of another type",
              R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers+base"}})",
              Errc::unsupported, "\"layers+base\""},
             {"no diff_ids", R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers"}})",
              Errc::corrupt, "\"diff_ids\" is missing"},
             {"diffID malformed", image_config(R"(["sha256:x"])"), Errc::corrupt, "diff_ids[0]: "},
             {"diffID is null", image_config("[null]"), Errc::corrupt, "diff_ids[0]: "},
             {"too many", image_config(list_of(501, json_string(kDigestA))), Errc::too_large,
              "501 diff_ids, allowed are 500"},
         }) {
        CAPTURE(row.name);
        const auto error = thrown_by([&] { prebake::oci::parse_image_config(row.json); });
        CHECK(error.code() == row.code);
        CHECK_MESSAGE(contains(error.message(), row.reason), error.message());
    }
}

TEST_CASE("truncated and damaged documents throw Error and nothing else") {
    check_robust(manifest_with_layer(kLayer),
                 [](const std::string& json) { prebake::oci::parse_manifest(kOciManifest, json); });
    check_robust(index_of(list_of(1, kChild)),
                 [](const std::string& json) { prebake::oci::parse_index(kOciIndex, json); });
    check_robust(image_config(list_of(1, json_string(kDigestA))),
                 [](const std::string& json) { prebake::oci::parse_image_config(json); });
}

TEST_CASE("errors show at most a line of foreign text") {
    const std::string json = R"({"mediaType":")" + std::string(5000, 'm') + R"(\u001b[2J"})";
    const auto error = thrown_by([&] { prebake::oci::parse_manifest(kOciManifest, json); });
    CHECK(std::string(error.what()).size() < 600);
    CHECK_FALSE(contains(error.what(), "\x1b"));
}

TEST_CASE("chain IDs are computed from the bottom") {
    using prebake::oci::chain_ids;
    const Digest a = Digest::parse(kDigestA);
    const Digest b = Digest::parse(kDigestB);
    CHECK(chain_ids({}).empty());
    CHECK(chain_ids({a}) == std::vector<Digest>{a});
    // Computed with sha256sum(1), not with our own code.
    CHECK(chain_ids({a, b}) ==
          std::vector<Digest>{
              a, Digest::parse(
                     "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c")});
    CHECK(chain_ids({a, b, a}) ==
          std::vector<Digest>{
              a,
              Digest::parse(
                  "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c"),
              Digest::parse(
                  "sha256:406364a4bd8d39df8107071d4494fa73814420337124657ec5999b072e5d3352")});
}
