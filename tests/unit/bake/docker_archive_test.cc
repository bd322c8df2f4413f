#include "agent/bake/docker_archive.h"

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>

#include "agent/base/error.h"
#include "tests/unit/bake/test_image.h"
#include "tests/unit/base/bytes_source.h"
#include "tests/unit/registry/read_rest.h"

namespace prebake::bake::docker_archive_test {

using tests::BytesSource;
using tests::read_rest;

std::string octets(const std::string& archive, std::size_t at, std::size_t size) {
    return archive.substr(at, size);
}

/// Name -> contents, by a reader of its own.
std::map<std::string, std::string> files_of(const std::string& archive) {
    std::map<std::string, std::string> files;
    std::size_t at = 0;
    while (at + 512 <= archive.size() && archive[at] != '\0') {
        const std::string name = archive.c_str() + at;
        const std::size_t size = std::stoul(octets(archive, at + 124, 11), nullptr, 8);
        unsigned sum = 0;
        for (std::size_t i = 0; i < 512; ++i) {
            const bool is_checksum = i >= 148 && i < 156;
            sum += is_checksum ? ' ' : static_cast<unsigned char>(archive[at + i]);
        }
        CHECK(std::stoul(octets(archive, at + 148, 6), nullptr, 8) == sum);
        files[name] = octets(archive, at + 512, size);
        at += 512 + (size + 511) / 512 * 512;
    }
    CHECK(archive.size() - at == 1024);
    return files;
}

TEST_CASE("an archive has what docker load reads, for reads of any size") {
    const ResolvedImage image = test::image_of("nginx:1", {"layer one", std::string(1000, 'x')});
    for (const std::size_t step :
         {std::size_t{1}, std::size_t{511}, std::size_t{512}, std::size_t{100'000}}) {
        CAPTURE(step);
        DockerArchive archive(
            image, {"docker.io/library/nginx:1"}, [&](const oci::Descriptor& layer) {
                const bool is_first = layer.digest == image.contents.layers[0].digest;
                return std::make_unique<BytesSource>(is_first ? "layer one"
                                                              : std::string(1000, 'x'));
            });
        const std::string bytes = read_rest(archive, step);
        CHECK(bytes.size() == archive.size());
        const auto files = files_of(bytes);
        const std::string config = image.config.descriptor.digest.hex() + ".json";
        CHECK(files.size() == 4);
        CHECK(files.at(config) == "nginx:1 config");
        CHECK(files.at("0.tar") == "layer one");
        CHECK(files.at("1.tar") == std::string(1000, 'x'));
        CHECK(files.at("manifest.json") ==
              R"([{"Config":")" + config +
                  R"(","RepoTags":["docker.io/library/nginx:1"],"Layers":["0.tar","1.tar"]}])");
    }
}

TEST_CASE("a layer that is not what it claims to be ends the archive") {
    const ResolvedImage image = test::image_of("nginx:1", {"layer one"});
    for (const std::string bytes : {"layer two", "layer", ""}) {
        CAPTURE(bytes);
        DockerArchive archive(image, {}, [&](const oci::Descriptor&) {
            return std::make_unique<BytesSource>(bytes);
        });
        try {
            read_rest(archive, 100'000);
            FAIL("was read");
        } catch (const Error& error) {
            CHECK(error.code() == Errc::corrupt);
            CHECK(error.message().find(image.contents.layers[0].digest.str()) != std::string::npos);
        }
    }
}

TEST_CASE("layers above 8 GiB have their size in binary") {
    ResolvedImage image = test::image_of("big:1", {"layer"});
    image.contents.layers[0].size = 9ULL << 30;
    DockerArchive archive(
        image, {}, [&](const oci::Descriptor&) { return std::make_unique<BytesSource>(""); });
    std::string head(4096, '\0');
    CHECK_THROWS_AS(archive.read(std::as_writable_bytes(std::span(head.data(), head.size()))),
                    Error);
    const std::size_t at = head.rfind("0.tar");
    REQUIRE(at != std::string::npos);
    CHECK(octets(head, at + 124, 12) == std::string("\x80\0\0\0\0\0\0\x02\x40\0\0\0", 12));
    CHECK(archive.size() > (9ULL << 30));
}

}  // namespace prebake::bake::docker_archive_test
