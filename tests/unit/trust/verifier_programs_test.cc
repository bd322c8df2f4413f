#include "agent/trust/verifier_programs.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <string>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/oci/blob_of.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::trust {
namespace {

using namespace std::chrono_literals;
using tests::contains;
using tests::thrown_by;

const std::string kVerifiedName = "docker.io/library/app:1";
const oci::Descriptor kVerifiedImage =
    oci::test::blob_of("manifest", "application/vnd.oci.image.manifest.v1+json");

/// A directory of verifiers, which are scripts of the shell.
struct Verifiers {
    TemporaryDirectory directory;
    VerifierPrograms programs{.directory = directory.path() / "bin"};

    Verifiers() { std::filesystem::create_directory(programs.directory); }

    void add(const std::string& name, const std::string& script) const {
        const auto file = programs.directory / name;
        std::ofstream(file) << "#!/bin/sh\n" << script << "\n";
        REQUIRE(::chmod(file.c_str(), 0755) == 0);
    }
    std::string written(const std::string& name) const {
        std::ifstream file(directory.path() / name);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    void run() const { require_accepted(programs, kVerifiedName, kVerifiedImage, {}); }
    /// A script that writes what it was given, and then ends with `status`.
    std::string noting(const std::string& name, int status) const {
        const std::string file = (directory.path() / name).string();
        return "echo \"$@\" > " + file + "; cat >> " + file + "; echo because; exit " +
               std::to_string(status);
    }
};

TEST_CASE("without verifiers every image is accepted") {
    CHECK_NOTHROW(require_accepted({}, kVerifiedName, kVerifiedImage, {}));
    CHECK_NOTHROW(
        require_accepted({.directory = "/nonexistent/x"}, kVerifiedName, kVerifiedImage, {}));
    CHECK_NOTHROW(Verifiers().run());
}

TEST_CASE("a verifier gets name, digest and descriptor as from containerd") {
    const Verifiers at;
    at.add("a", at.noting("seen", 0));
    at.run();
    const std::string digest = kVerifiedImage.digest.str();
    CHECK(at.written("seen") ==
          "-name " + kVerifiedName + " -digest " + digest +
              " -stdin-media-type application/vnd.oci.descriptor.v1+json\n"
              R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":")" +
              digest + "\",\"size\":8}\n");
}

TEST_CASE("all verifiers have to accept, in the order of their names") {
    const Verifiers at;
    at.add("b", at.noting("b", 3));
    at.add("a", at.noting("a", 0));
    at.add("c", at.noting("c", 0));
    const Error error = thrown_by([&] { at.run(); });
    CHECK(error.code() == Errc::untrusted);
    CHECK(contains(error.message(), (at.programs.directory / "b").string()));
    CHECK(contains(error.message(), "(exit status 3): because"));
    CHECK_FALSE(at.written("a").empty());
    CHECK(at.written("c").empty());
}

TEST_CASE("no more verifiers run than containerd runs") {
    for (const std::int64_t most : {0, 1, 2, -1}) {
        CAPTURE(most);
        Verifiers at;
        at.programs.most = most;
        at.add("a", at.noting("a", 0));
        at.add("b", at.noting("b", 0));
        at.run();
        CHECK(at.written("a").empty() == (most == 0));
        CHECK(at.written("b").empty() == (most == 0 || most == 1));
    }
}

TEST_CASE("a verifier that does not read its input, or says much, is no problem") {
    const Verifiers at;
    at.add("a", "yes | head -c 200000; exit 0");
    CHECK_NOTHROW(at.run());
}

TEST_CASE("a verifier that cannot be run, or does not end, accepts nothing") {
    SUBCASE("no program") {
        const Verifiers at;
        std::ofstream(at.programs.directory / "README") << "text";
        const Error error = thrown_by([&] { at.run(); });
        CHECK(error.code() == Errc::failed_precondition);
        CHECK(contains(error.message(), "README cannot be run"));
    }
    SUBCASE("no time") {
        Verifiers at;
        at.programs.time_limit = 50ms;
        at.add("a", "sleep 60");
        CHECK(thrown_by([&] { at.run(); }).code() == Errc::timed_out);
    }
    SUBCASE("killed") {
        const Verifiers at;
        at.add("a", "kill -9 $$");
        const Error error = thrown_by([&] { at.run(); });
        CHECK(error.code() == Errc::failed_precondition);
        CHECK(contains(error.message(), "signal 9"));
    }
    SUBCASE("no directory") {
        Verifiers at;
        at.programs.directory /= "file";
        std::ofstream(at.programs.directory) << "x";
        CHECK(thrown_by([&] { at.run(); }).code() == Errc::failed_precondition);
    }
}

}  // namespace
}  // namespace prebake::trust
