#include "agent/cli/verify_text.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

namespace prebake::cli {
namespace {

using store::Check;

void add(store::Verification& result, const std::string& image, Check check,
         const std::string& object, const std::string& ns = "k8s.io") {
    result.findings.push_back({.check = check,
                               .image = image,
                               .ns = ns,
                               .object = object,
                               .subject = {},
                               .expected = "this",
                               .found = "that",
                               .next_step = "bake " + image});
}

TEST_CASE("what was found of a few images is shown, each next step once") {
    store::Verification result;
    add(result, "a", Check::names, "name a");
    add(result, "b", Check::cri, "CRI b");
    add(result, "a", Check::blobs, "blob 1");
    add(result, "a", Check::blobs, "blob 2", "moby");
    CHECK(findings_text(result) ==
          "a (k8s.io, moby): 1 name, 2 blobs\n"
          "  name a: expected this, found that\n"
          "  blob 1: expected this, found that\n"
          "  blob 2: expected this, found that\n"
          "  -> bake a\n"
          "b (k8s.io): 1 answer of CRI\n"
          "  CRI b: expected this, found that\n"
          "  -> bake b\n");
}

TEST_CASE("an emptied store takes one line for each image") {
    store::Verification result;
    for (int image = 0; image < 30; ++image) {
        for (int blob = 0; blob < 20; ++blob) {
            add(result, "image " + std::to_string(image), Check::blobs, "blob");
        }
    }
    const std::string text = findings_text(result);
    CHECK(std::count(text.begin(), text.end(), '\n') == 31);
    CHECK(text.find("image 29 (k8s.io): 20 blobs\n") != std::string::npos);

    CHECK(text.ends_with("  -> prebake verify --repair; --json has each finding and what to do\n"));
    CHECK(findings_text(result, {.is_deep = true}).find("  -> prebake verify --deep --repair; ") !=
          std::string::npos);
    CHECK(findings_text(result, {.is_deep = true, .is_repaired = true}).find("--repair") ==
          std::string::npos);

    store::Verification one;
    for (int blob = 0; blob < 20; ++blob) add(one, "a", Check::blobs, "blob");
    CHECK(findings_text(one).find("  and 12 more: --json has them all\n") != std::string::npos);
}

TEST_CASE("two platforms of one name are two images") {
    store::Verification result;
    for (const char* platform : {"linux/amd64", "linux/arm64"}) {
        add(result, "a", Check::names, "name a");
        result.findings.back().platform = platform;
    }
    const std::string text = findings_text(result);
    CHECK(text.find("a (linux/amd64; k8s.io): 1 name\n") != std::string::npos);
    CHECK(text.find("a (linux/arm64; k8s.io): 1 name\n") != std::string::npos);
}

TEST_CASE("the verdict says what the exit status says") {
    store::Verification result;
    result.images = 2;
    result.blobs = 5;
    result.snapshots = 1;
    CHECK(findings_text(result).empty());
    using guard::StoreVerdict;
    CHECK(verdict_text(result, StoreVerdict::as_baked, 0) ==
          "ok: 2 images, 5 blobs, 1 snapshot checked\n");
    CHECK(verdict_text(result, StoreVerdict::not_usable, 3) ==
          "NOT OK: 3 traces of the builder; 2 images, 5 blobs, 1 snapshot checked\n");
    CHECK(verdict_text(result, StoreVerdict::as_baked, 0, 4) ==
          "ok: 4 findings repaired; 2 images, 5 blobs, 1 snapshot checked\n");
    result.signatures = 1;
    CHECK(verdict_text(result, StoreVerdict::as_baked, 0) ==
          "ok: 2 images, 5 blobs, 1 snapshot checked, 1 signature verified\n");
    result.signatures = 0;
    add(result, "a", Check::names, "name a");
    add(result, "a", Check::names, "name b");
    result.bytes_read = 1024;
    CHECK(verdict_text(result, StoreVerdict::degraded, 0).starts_with("DEGRADED: 2 findings"));
    CHECK(verdict_text(result, StoreVerdict::not_usable, 0) ==
          "NOT OK: 2 findings about 1 image; 2 images, 5 blobs, 1 snapshot checked, 1.0 KiB read "
          "and hashed\n");
}

TEST_CASE("compared trees, and those that were not") {
    store::Verification result;
    result.images = 2;
    result.trees = 2;
    result.files = 120;
    const auto verdict = [&] { return verdict_text(result, guard::StoreVerdict::as_baked, 0); };
    CHECK(verdict() ==
          "ok: 2 images, 0 blobs, 0 snapshots checked, 120 files of 2 snapshots compared\n");
    CHECK(uncompared_text(result).empty());

    for (const char* image : {"a", "a", "b"}) {
        result.uncompared.push_back(
            {.image = image, .platform = {}, .ns = {}, .snapshot = {}, .reason = "they were lost"});
    }
    result.uncompared.push_back(
        {.image = "c", .platform = {}, .ns = {}, .snapshot = {}, .reason = "it is dark"});
    CHECK(uncompared_text(result) ==
          std::vector<std::string>{"the files of 1 snapshot of c were not compared: it is dark",
                                   "the files of 3 snapshots of a and of 1 other image were not "
                                   "compared: they were lost"});
    CHECK(verdict().starts_with("ok, but not everything could be compared: 2 images"));
    CHECK(verdict().ends_with(", 4 snapshots not compared\n"));
}

}  // namespace
}  // namespace prebake::cli
