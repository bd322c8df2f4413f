// proto/containerd declares containerd's messages by hand. No compiler detects a wrong field
// number: the field would silently be another one. This test compares them with the originals.

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/lint/proto_compat/descriptors.h"

namespace prebake::test {
namespace {

using google::protobuf::FieldDescriptorProto;

/// What we declare beyond Debian 12's containerd 1.6, by the version of containerd's API that
/// brought it.
const std::vector<NewerField> kNewer = {
    {".containerd.services.diff.v1.ApplyRequest", "sync_fs", 4, FieldDescriptorProto::TYPE_BOOL,
     "api 1.8, containerd 1.7.14"},
    {".containerd.events.SnapshotPrepare", "snapshotter", 5, FieldDescriptorProto::TYPE_STRING,
     "containerd 1.7"},
    {".containerd.events.SnapshotCommit", "snapshotter", 5, FieldDescriptorProto::TYPE_STRING,
     "containerd 1.7"},
    {".containerd.events.SnapshotRemove", "snapshotter", 5, FieldDescriptorProto::TYPE_STRING,
     "containerd 1.7"},
};

/// google/protobuf/*.proto, of libprotobuf-dev.
constexpr const char* kProtobufIncludes = "/usr/include";

std::string or_default(const char* variable, const char* otherwise) {
    const char* value = std::getenv(variable);
    return value && *value ? value : otherwise;
}

/// Debian's Go sources (golang-github-containerd-containerd-dev and what it imports).
std::string go_sources() {
    return or_default("PREBAKE_TEST_GO_SOURCES", "/usr/share/gocode/src");
}

std::string containerd_executable() {
    return or_default("PREBAKE_TEST_CONTAINERD", "/usr/bin/containerd");
}

std::vector<FileDescriptorProto> originals() {
    const std::string containerd = go_sources() + "/github.com/containerd/containerd";
    REQUIRE_MESSAGE(std::filesystem::is_directory(containerd + "/api"),
                    "install golang-github-containerd-containerd-dev");
    std::vector<std::string> files;
    const std::filesystem::path api = containerd + "/api";
    for (const char* directory : {"services", "events"}) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(api / directory)) {
            const auto below = entry.path().lexically_relative(api).string();
            // The ttrpc variant of the events service is not what we speak.
            if (entry.path().extension() != ".proto" || below.starts_with("services/ttrpc/")) {
                continue;
            }
            files.push_back("github.com/containerd/containerd/api/" + below);
        }
    }
    REQUIRE(files.size() >= 10);
    return compile({go_sources(), go_sources() + "/github.com/gogo/protobuf",
                    go_sources() + "/github.com/gogo/googleapis", kProtobufIncludes},
                   files, true);
}

/// Our files; those of CRI, or those of containerd.
std::vector<FileDescriptorProto> ours(bool cri) {
    std::vector<std::string> files;
    const std::string source = PREBAKE_SOURCE_DIR;
    for (const auto& entry : std::filesystem::directory_iterator(source + "/proto/containerd")) {
        if (entry.path().extension() != ".proto") continue;
        if ((entry.path().stem() == "cri") != cri) continue;
        files.push_back("proto/containerd/" + entry.path().filename().string());
    }
    REQUIRE(files.size() >= (cri ? 1 : 10));
    return compile({source, kProtobufIncludes}, files, false);
}

std::string lines(const std::vector<std::string>& texts) {
    std::string all;
    for (const std::string& text : texts) all += text + "\n";
    return all;
}

TEST_CASE("our containerd API is part of the original") {
    const Comparison result = compare(ours(false), originals(), kNewer);
    CHECK(lines(result.differences) == "");
    CHECK(result.methods >= 20);
    CHECK(result.fields >= 80);
    CHECK(result.enum_values >= 7);
}

TEST_CASE("our CRI is part of the one that containerd serves") {
    const Comparison result =
        compare(ours(true), {embedded_descriptor(containerd_executable(), "runtime.v1")}, {});
    CHECK(lines(result.differences) == "");
    CHECK(result.methods >= 4);
    CHECK(result.fields >= 15);
}

TEST_CASE("every kind of deviation is found") {
    const auto theirs = originals();
    const auto true_ours = ours(false);
    using Files = std::vector<FileDescriptorProto>;
    const auto file = [](Files& files, const std::string& name) -> FileDescriptorProto& {
        const auto found = std::find_if(files.begin(), files.end(), [&](const auto& candidate) {
            return candidate.name() == "proto/containerd/" + name + ".proto";
        });
        REQUIRE(found != files.end());
        return *found;
    };
    struct Row {
        const char* name;
        std::function<void(Files&)> deviate;
    };
    const Row rows[] = {
        {"package", [&](Files& f) { file(f, "leases").set_package("containerd.leases.v1"); }},
        {"service", [&](Files& f) { file(f, "content").mutable_service(0)->set_name("Contents"); }},
        {"method",
         [&](Files& f) {
             file(f, "content").mutable_service(0)->mutable_method(0)->set_name("No");
         }},
        {"input type",
         [&](Files& f) {
             file(f, "version").mutable_service(0)->mutable_method(0)->set_input_type(".Other");
         }},
        {"output type",
         [&](Files& f) {
             file(f, "version").mutable_service(0)->mutable_method(0)->set_output_type(".Other");
         }},
        {"client streaming",
         [&](Files& f) {
             auto& method = *file(f, "diff").mutable_service(0)->mutable_method(0);
             method.set_client_streaming(true);
         }},
        {"server streaming",
         [&](Files& f) {
             auto& method = *file(f, "diff").mutable_service(0)->mutable_method(0);
             method.set_server_streaming(true);
         }},
        {"message",
         [&](Files& f) { file(f, "types").mutable_message_type(0)->set_name("Descriptors"); }},
        {"field name",
         [&](Files& f) {
             file(f, "types").mutable_message_type(0)->mutable_field(1)->set_name("hash");
         }},
        {"field number",
         [&](Files& f) {
             file(f, "types").mutable_message_type(0)->mutable_field(3)->set_number(4);
         }},
        {"field type",
         [&](Files& f) {
             file(f, "types")
                 .mutable_message_type(0)
                 ->mutable_field(2)
                 ->set_type(FieldDescriptorProto::TYPE_UINT64);
         }},
        {"label",
         [&](Files& f) {
             file(f, "types")
                 .mutable_message_type(1)
                 ->mutable_field(3)
                 ->set_label(FieldDescriptorProto::LABEL_OPTIONAL);
         }},
        {"enum value",
         [&](Files& f) {
             file(f, "snapshots").mutable_enum_type(0)->mutable_value(1)->set_number(7);
         }},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Files changed = true_ours;
        row.deviate(changed);
        CHECK(compare(changed, theirs, kNewer).differences.size() >= 1);
    }
    CHECK(compare(true_ours, theirs, kNewer).differences.empty());
}

TEST_CASE("the list of newer fields is held to what both sides declare") {
    const auto theirs = originals();
    const std::string message = ".containerd.types.Descriptor";
    SUBCASE("a field that we do not declare") {
        auto newer = kNewer;
        newer.push_back({message, "invented", 9, FieldDescriptorProto::TYPE_BOOL, "never"});
        CHECK(compare(ours(false), theirs, newer).differences.size() == 1);
    }
    SUBCASE("a number that we do not use") {
        auto newer = kNewer;
        newer.push_back({message, "digest", 3, FieldDescriptorProto::TYPE_STRING, "never"});
        CHECK(compare(ours(false), theirs, newer).differences.size() == 1);
    }
    SUBCASE("a field that they have with another type") {
        auto files = ours(false);
        auto changed = std::find_if(files.begin(), files.end(), [](const auto& file) {
            return file.name() == "proto/containerd/types.proto";
        });
        REQUIRE(changed != files.end());
        auto& size = *changed->mutable_message_type(0)->mutable_field(2);
        REQUIRE(size.name() == "size");
        size.set_type(FieldDescriptorProto::TYPE_UINT64);
        auto newer = kNewer;
        newer.push_back({message, "size", 3, FieldDescriptorProto::TYPE_UINT64, "never"});
        CHECK(compare(files, theirs, newer).differences.size() == 1);
    }
    SUBCASE("a number that they use for something else") {
        auto files = ours(false);
        auto changed = std::find_if(files.begin(), files.end(), [](const auto& file) {
            return file.name() == "proto/containerd/types.proto";
        });
        REQUIRE(changed != files.end());
        changed->mutable_message_type(0)->mutable_field(1)->set_name("hash");
        auto newer = kNewer;
        newer.push_back({message, "hash", 2, FieldDescriptorProto::TYPE_STRING, "never"});
        CHECK(compare(files, theirs, newer).differences.size() >= 1);
    }
}

}  // namespace
}  // namespace prebake::test
