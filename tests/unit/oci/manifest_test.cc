#include "agent/oci/manifest.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/unit/base/thrown.h"

namespace prebake::oci::manifest_test {

using tests::contains;
using tests::thrown_by;

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

/// Defects for which each of the three documents is refused. The place is part of the reason.
const std::vector<RefusedCase> kRefusedJson = {
    {"empty", "", Errc::corrupt, "JSON is malformed at line 1, column 1: "},
    {"white space", " \n", Errc::corrupt, "JSON is malformed at line 2, column 1: "},
    {"HTML", "<html>login</html>", Errc::corrupt, "JSON is malformed at line 1, column 1: "},
    {"list", "[]", Errc::corrupt, "it is a list, not an object (line 1, column 1)"},
    {"null", "null", Errc::corrupt, "it is null, not an object"},
    {"string", "\"x\"", Errc::corrupt, "it is a string, not an object"},
    {"second document", "{}{}", Errc::corrupt, "JSON is malformed at line 1, column 3: "},
    {"comment", "/* */{}", Errc::corrupt, "JSON is malformed at line 1, column 1: "},
    {"trailing comma", "{\"a\":1,\n}", Errc::corrupt, "JSON is malformed at line 2, column 1: "},
    {"inside", "{\"a\":[{\"b\":1},\n {\"b\":x}]}", Errc::corrupt,
     "JSON is malformed at line 2, column 7, in a[1].b: "},
    {"control character", "{\"a\":\"\t\"}", Errc::corrupt, "JSON is malformed at line 1, column 7"},
    {"zero byte", std::string("{}\0", 3), Errc::corrupt, "JSON is malformed at line 1, column 3: "},
    {"too deep", R"({"a":)" + nested_lists(300) + "}", Errc::corrupt, "JSON is malformed at"},
    {"very deep", R"({"a":)" + std::string(100'000, '['), Errc::corrupt, "JSON is malformed at"},
    {"media type is a number", R"({"mediaType":7,"config":{"User":7}})", Errc::corrupt,
     " is a number, not a string (line 1, column "},
    {"bigger in memory than allowed", R"({"a":)" + list_of(2'150'000, "0") + "}", Errc::too_large,
     "bytes of parsed JSON"},
};

const std::vector<RefusedCase> kRefusedManifests = {
    {"nothing in it", "{}", Errc::corrupt, "config.mediaType is missing (line 1, column 1)"},
    {"no config", R"({"schemaVersion":2,"layers":[]})", Errc::corrupt,
     "config.mediaType is missing"},
    {"null config", R"({"config":null,"layers":[]})", Errc::corrupt,
     "config.mediaType is missing (line 1, column 11)"},
    {"config is text", R"({"config":"x","layers":[]})", Errc::corrupt,
     "config is a string, not an object (line 1, column 11)"},
    {"layers is an object", manifest_with_layers("{}"), Errc::corrupt,
     "layers is an object, not a list"},
    {"layer is a number", manifest_with_layer("1"), Errc::corrupt,
     "layers[0] is a number, not an object"},
    {"second layer is named", manifest_with_layer(kLayer + ",\n{}"), Errc::corrupt,
     "layers[1].mediaType is missing (line 2, column 1)"},
    {"too many layers", manifest_with_layers(list_of(501, kLayer)), Errc::too_large,
     "layers has 501 elements, allowed are 500"},
    {"schema as text", R"({"schemaVersion":"2"})", Errc::corrupt,
     "schemaVersion is a string, not a whole number (line 1, column 18)"},
    {"schema 1 by fsLayers", R"({"fsLayers":[]})", Errc::unsupported, "schema 1"},
    {"really an index", index_of("[]"), Errc::corrupt, "manifests belongs to an index"},
    {"both at once", R"({"config":)" + kConfig + R"(,"layers":[],"manifests":null})", Errc::corrupt,
     "manifests belongs to an index"},
    {"in capitals", R"({"config":)" + kConfig + R"(,"layers":[],"Manifests":[]})", Errc::corrupt,
     "Manifests belongs to an index"},
    {"calls itself an index", R"({"mediaType":")" + kOciIndex + R"("})", Errc::corrupt,
     "image.index.v1+json\", but the document was announced as"},
    {"calls itself Docker's index", R"({"mediaType":")" + kDockerIndex + R"("})", Errc::corrupt,
     "(line 1, column 14)"},
    {"annotation is a list", R"({"annotations":{"a":[]},"config":)" + kConfig + "}", Errc::corrupt,
     "annotations.a is a list, not a string (line 1, column 21)"},
};

/// Of a layer; the same code parses configs and children. For `is_readable` ones containerd can use
/// the other children of an index.
struct RefusedDescriptor : RefusedCase {
    bool is_readable = false;
};
const std::vector<RefusedDescriptor> kRefusedDescriptors = {
    {{"no media type", R"({"digest":")" + kDigestA + R"(","size":1})", Errc::corrupt,
      "mediaType is missing"},
     true},
    {{"empty media type", descriptor("", kDigestA, "1"), Errc::corrupt, "mediaType is empty"},
     true},
    {{"long media type", descriptor(std::string(256, 'm'), kDigestA, "1"), Errc::too_large,
      "mediaType has 256 bytes"},
     true},
    {{"no digest", R"({"mediaType":"m","size":1})", Errc::corrupt, "digest is missing"}, true},
    {{"null digest", R"({"mediaType":"m","digest":null,"size":1})", Errc::corrupt,
      "digest is missing"},
     true},
    {{"number for a digest", R"({"mediaType":"m","digest":1,"size":1})", Errc::corrupt,
      "digest is a number, not a string"}},
    {{"short digest", descriptor("m", "sha256:abc", "1"), Errc::corrupt, "3 hex digits"}, true},
    {{"path for a digest", descriptor("m", "../../etc/passwd", "1"), Errc::corrupt, "malformed"},
     true},
    {{"sha512", descriptor("m", "sha512:" + std::string(128, 'a'), "1"), Errc::unsupported,
      "digest cannot be used: unsupported digest algorithm \"sha512\""},
     true},
    {{"no size", R"({"mediaType":"m","digest":")" + kDigestA + R"("})", Errc::corrupt,
      "size is missing"},
     true},
    {{"no byte", descriptor("m", kDigestA, "0"), Errc::corrupt, "size is 0"}, true},
    {{"negative size", descriptor("m", kDigestA, "-1"), Errc::corrupt, "size is negative"}, true},
    {{"fraction", descriptor("m", kDigestA, "1.5"), Errc::corrupt, "whole number"}},
    {{"exponent", descriptor("m", kDigestA, "1e3"), Errc::corrupt, "whole number"}},
    {{"text for a size", descriptor("m", kDigestA, "\"1\""), Errc::corrupt,
      "size is a string, not a whole number"}},
    {{"over 256 TiB", descriptor("m", kDigestA, "281474976710657"), Errc::too_large, "one blob"},
     true},
    {{"over 63 bits", descriptor("m", kDigestA, "18446744073709551615"), Errc::corrupt,
      "whole number"}},
    {{"over 64 bits", descriptor("m", kDigestA, "18446744073709551616"), Errc::corrupt,
      "whole number"}},
    {{"annotations are a list", descriptor("m", kDigestA, "1", R"("annotations":[])"),
      Errc::corrupt, "annotations is a list, not an object"}},
    {{"annotation is a number", descriptor("m", kDigestA, "1", R"("annotations":{"a":1})"),
      Errc::corrupt, "annotations.a is a number, not a string"}},
    {{"url is a number", descriptor("m", kDigestA, "1", R"("urls":[1])"), Errc::corrupt,
      "urls[0] is a number, not a string"}},
    {{"os is a number", descriptor("m", kDigestA, "1", R"("platform":{"os":1})"), Errc::corrupt,
      "platform.os is a number, not a string"}},
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

TEST_CASE("manifests are accepted as containerd reads them") {
    using prebake::oci::parse_manifest;
    const std::string layers = R"("layers":[)" + kLayer + "]";
    struct Case {
        const char* name;
        std::string json;
        std::size_t layers;
    };
    for (const Case& row : std::vector<Case>{
             {"no layers", R"({"config":)" + kConfig + "}", 0},
             {"empty list", manifest_with_layers("[]"), 0},
             {"null", manifest_with_layers("null"), 0},
             {"most layers", manifest_with_layers(list_of(500, kLayer)), 500},
             {"empty type", R"({"mediaType":"","config":)" + kConfig + "," + layers + "}", 1},
             {"null type", R"({"mediaType":null,"config":)" + kConfig + "," + layers + "}", 1},
             {"OCI's type",
              R"({"mediaType":")" + kOciManifest + R"(","config":)" + kConfig + "," + layers + "}",
              1},
             {"Docker's type",
              R"({"mediaType":")" + kDockerManifest + R"(","config":)" + kConfig + "," + layers +
                  "}",
              1},
             {"any type", R"({"mediaType":"text/plain","config":)" + kConfig + "," + layers + "}",
              1},
             {"schema 3", R"({"schemaVersion":3,"config":)" + kConfig + "," + layers + "}", 1},
             {"no schema", R"({"config":)" + kConfig + "," + layers + "}", 1},
             {"signatures", R"({"signatures":[],"config":)" + kConfig + "," + layers + "}", 1},
             {"capitals", R"({"CONFIG":)" + kConfig + R"(,"Layers":[)" + kLayer + "]}", 1},
             {"twice", R"({"config":1,"layers":[],"config":)" + kConfig + "," + layers + "}", 1},
             {"not UTF-8",
              "{\"config\":" + kConfig + "," + layers + ",\"annotations\":{\"a\":\"\xe9\"}}", 1},
             {"half of a surrogate pair",
              R"({"x":"\ud83d \udc00","config":)" + kConfig + "," + layers + "}", 1},
             {"unknown fields",
              R"({"x":[1,{"y":2.5e300}],"config":)" + kConfig + "," + layers + "}", 1},
         }) {
        CAPTURE(row.name);
        for (const std::string& type : {kOciManifest, kDockerManifest}) {
            const Manifest manifest = parse_manifest(type, row.json);
            CHECK(manifest.media_type == type);
            CHECK(manifest.config.digest == Digest::parse(kDigestA));
            CHECK(manifest.layers.size() == row.layers);
        }
    }
    const std::string nulls = R"("annotations":null,"platform":{"os":null},"urls":null)";
    const Manifest manifest = parse_manifest(
        kOciManifest, manifest_with_layer(descriptor(kLayerType, kDigestA, "1", nulls)));
    CHECK_FALSE(manifest.layers[0].platform.has_value());
    CHECK(parse_manifest(kOciManifest,
                         manifest_with_layer(descriptor("m", kDigestA, "1", annotations(256))))
              .layers[0]
              .annotations.size() == 256);
    const std::string odd = "\"annotations\":{\"a\":null,\"b\":\"caf\xe9\"}";
    CHECK(parse_manifest(kOciManifest, manifest_with_layer(descriptor("m", kDigestA, "1", odd)))
              .layers[0]
              .annotations ==
          std::map<std::string, std::string>{{"a", ""}, {"b", "caf\xef\xbf\xbd"}});
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

TEST_CASE("invalid descriptors are refused where they are needed") {
    for (const RefusedDescriptor& row : kRefusedDescriptors) {
        CAPTURE(row.name);
        struct Place {
            const char* prefix;
            Error error;
        };
        std::vector<Place> places = {
            {"config.", thrown_by([&] {
                 prebake::oci::parse_manifest(kOciManifest,
                                              R"({"config":)" + row.json + R"(,"layers":[]})");
             })},
            {"layers[0].", thrown_by([&] {
                 prebake::oci::parse_manifest(kOciManifest, manifest_with_layer(row.json));
             })}};
        const std::string index = index_of("[" + kChild + "," + row.json + "]");
        if (row.is_readable) {
            const Index parsed = prebake::oci::parse_index(kOciIndex, index);
            CHECK(parsed.manifests.size() == 1);
            REQUIRE(parsed.unusable.size() == 1);
            places.push_back({"manifests[1].", parsed.unusable[0].problem});
        } else {
            places.push_back(
                {"manifests[1].", thrown_by([&] { prebake::oci::parse_index(kOciIndex, index); })});
        }
        for (const Place& place : places) {
            CHECK(place.error.code() == row.code);
            CHECK_MESSAGE(contains(place.error.message(), row.reason), place.error.message());
            CHECK_MESSAGE(contains(place.error.message(), "(line 1, column "),
                          place.error.message());
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
    const auto child_with = [](const std::string& more) {
        return index_of(list_of(1, descriptor("m", kDigestA, "1", more)));
    };
    for (const RefusedCase& row : std::vector<RefusedCase>{
             {"manifests is text", index_of("\"x\""), Errc::corrupt,
              "manifests is a string, not a list"},
             {"really a manifest", manifest_with_layers("[]"), Errc::corrupt,
              "config belongs to a manifest"},
             {"config besides", R"({"manifests":[],"config":null})", Errc::corrupt,
              "config belongs to a manifest"},
             {"layers besides", R"({"manifests":[],"layers":[]})", Errc::corrupt,
              "layers belongs to a manifest, but the document was announced as"},
             {"calls itself a manifest",
              R"({"mediaType":")" + kOciManifest + R"(","manifests":[]})", Errc::corrupt,
              "image.manifest.v1+json\", but the document was announced as"},
             {"schema 1", R"({"schemaVersion":1,"manifests":[],"fsLayers":null})",
              Errc::unsupported, "schema 1"},
             {"too many", index_of(list_of(1001, kChild)), Errc::too_large,
              "manifests has 1001 elements, allowed are 1000"},
             {"platform is text", child_with(R"("platform":"linux/amd64")"), Errc::corrupt,
              "manifests[0].platform is a string, not an object"},
             {"variant is a number", child_with(R"("platform":{"variant":7})"), Errc::corrupt,
              "manifests[0].platform.variant is a number, not a string"},
         }) {
        CAPTURE(row.name);
        const auto error = thrown_by([&] { prebake::oci::parse_index(kOciIndex, row.json); });
        CHECK(error.code() == row.code);
        CHECK_MESSAGE(contains(error.message(), row.reason), error.message());
    }
}

TEST_CASE("indexes are accepted as containerd reads them") {
    using prebake::oci::parse_index;
    CHECK(parse_index(kOciIndex, index_of(list_of(1000, kChild))).manifests.size() == 1000);
    CHECK(parse_index(kOciIndex, "{}").manifests.empty());
    for (const std::string& own : {kOciIndex, kDockerIndex, std::string("x"), std::string()}) {
        const std::string json = R"({"mediaType":")" + own + R"(","Manifests":[)" + kChild + "]}";
        CHECK(parse_index(kOciIndex, json).manifests.size() == 1);
        CHECK(parse_index(kDockerIndex, json).media_type == kDockerIndex);
    }
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

TEST_CASE("image configs are accepted as containerd reads them") {
    struct Case {
        const char* name;
        std::string json;
        std::string platform;
    };
    for (const Case& row : std::vector<Case>{
             {"nothing in it", "{}", "linux/"},
             {"empty", R"({"os":"","architecture":"","variant":""})", "linux/"},
             {"no os", R"({"architecture":"arm64"})", "linux/arm64"},
             {"rootfs without type", R"({"architecture":"amd64","rootfs":{}})", "linux/amd64"},
             {"another rootfs", R"({"architecture":"x86_64","rootfs":{"type":"layers+base"}})",
              "linux/amd64"},
             {"history in Latin-1", "{\"OS\":\"linux\",\"history\":[{\"comment\":\"\xe9\"}]}",
              "linux/"},
             {"Docker's fields as strings",
              R"({"architecture":"amd64","config":{"StopTimeout":"10","Memory":"1"},"Size":"3"})",
              "linux/amd64"},
             {"times",
              R"({"created":"2024-02-29T23:59:59.123456789+05:30","history":)"
              R"([{"created":"0001-01-01T00:00:00Z"},{"created":null,"empty_layer":true}]})",
              "linux/"},
             {"all of config",
              R"({"config":{"User":"u","ExposedPorts":{"80/tcp":{},"81":null},"Env":["A=B"],)"
              R"("Entrypoint":null,"Cmd":[],"Volumes":{"/v":{}},"WorkingDir":"/","Labels":)"
              R"({"a":"b"},"StopSignal":"SIGTERM","ArgsEscaped":true}})",
              "linux/"},
         }) {
        CAPTURE(row.name);
        CHECK(prebake::oci::parse_image_config(row.json).platform.str() == row.platform);
    }
}

TEST_CASE("invalid image configs are refused with the reason") {
    for (const RefusedCase& row : std::vector<RefusedCase>{
             {"variant is a number", R"({"os":"linux","variant":7})", Errc::corrupt,
              "variant is a number, not a string (line 1, column 25)"},
             {"rootfs is a list", R"({"rootfs":[]})", Errc::corrupt,
              "rootfs is a list, not an object (line 1, column 11)"},
             {"diffID malformed", image_config(R"(["sha256:x"])"), Errc::corrupt,
              "rootfs.diff_ids[0] cannot be used: malformed digest"},
             {"diffID is null", image_config("[null]"), Errc::corrupt,
              "rootfs.diff_ids[0] is missing"},
             {"too many", image_config(list_of(501, json_string(kDigestA))), Errc::too_large,
              "rootfs.diff_ids has 501 elements, allowed are 500"},
             {"Env is text", R"({"config":{"Env":"A=B"}})", Errc::corrupt,
              "config.Env is a string, not a list (line 1, column 18)"},
             {"label is a number", R"({"config":{"Labels":{"a":1}}})", Errc::corrupt,
              "config.Labels.a is a number, not a string"},
             {"signal is a number", R"({"config":{"StopSignal":15}})", Errc::corrupt,
              "config.StopSignal is a number, not a string"},
             {"port is text", R"({"config":{"ExposedPorts":{"80":"tcp"}}})", Errc::corrupt,
              "config.ExposedPorts.80 is a string, not an object"},
             {"no time", R"({"created":""})", Errc::corrupt, "created is not a time"},
             {"no such day", R"({"created":"2023-02-29T00:00:00Z"})", Errc::corrupt,
              "created is not a time"},
             {"only a day", R"({"created":"2023-02-28"})", Errc::corrupt, "created is not a time"},
             {"no zone", R"({"created":"2023-02-28T00:00:00"})", Errc::corrupt,
              "created is not a time"},
             {"time is a number", R"({"history":[{"created":0}]})", Errc::corrupt,
              "history[0].created is a number, not a string"},
             {"flag is text", R"({"history":[{"empty_layer":"true"}]})", Errc::corrupt,
              "history[0].empty_layer is a string, not true or false"},
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
    const std::string json =
        manifest_with_layer(descriptor("m", std::string(5000, 'm') + R"(\u001b[2J)", "1"));
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

}  // namespace prebake::oci::manifest_test
