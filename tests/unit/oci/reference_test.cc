#include "agent/oci/reference.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/unit/base/thrown.h"

namespace prebake::oci::reference_test {

using tests::contains;
using tests::thrown_by;

const std::string kHex = "ad1f00d5c0de0123456789abcdef0123456789abcdef0123456789abcdef0042";
const std::string kDigest = "sha256:" + kHex;
const std::string kAtDigest = "@" + kDigest;
/// "docker.io/library/" and this are 255 characters.
const std::string kLongestOfficial(255 - 18, 'a');

struct AcceptedCase {
    std::string text;
    std::string registry;
    std::string repository;
    std::string suffix;  ///< tag and digest
};

const std::vector<AcceptedCase> kAccepted = {
    // Docker Hub's short forms
    {"nginx", "docker.io", "library/nginx", ":latest"},
    {"nginx:1.27", "docker.io", "library/nginx", ":1.27"},
    {"library/nginx", "docker.io", "library/nginx", ":latest"},
    {"grafana/loki:3", "docker.io", "grafana/loki", ":3"},
    {"a/b/c/d", "docker.io", "a/b/c/d", ":latest"},
    {"docker.io/nginx", "docker.io", "library/nginx", ":latest"},
    {"docker.io/nginx:1", "docker.io", "library/nginx", ":1"},
    {"docker.io/nginx" + kAtDigest, "docker.io", "library/nginx", kAtDigest},
    {"docker.io/library/nginx", "docker.io", "library/nginx", ":latest"},
    {"docker.io/grafana/loki", "docker.io", "grafana/loki", ":latest"},
    {"index.docker.io/nginx", "docker.io", "library/nginx", ":latest"},
    {"index.docker.io/grafana/loki:3", "docker.io", "grafana/loki", ":3"},
    // Only the exact names are Docker Hub
    {"registry-1.docker.io/nginx", "registry-1.docker.io", "nginx", ":latest"},
    {"docker.io:443/nginx", "docker.io:443", "nginx", ":latest"},
    {"Docker.io/nginx", "Docker.io", "nginx", ":latest"},
    {"index.docker.io.example/nginx", "index.docker.io.example", "nginx", ":latest"},
    // A host without a '/' after it is not a registry
    {"localhost", "docker.io", "library/localhost", ":latest"},
    {"localhost:5000", "docker.io", "library/localhost", ":5000"},
    {"ghcr.io", "docker.io", "library/ghcr.io", ":latest"},
    {"docker.io", "docker.io", "library/docker.io", ":latest"},
    {"docker.io/docker.io", "docker.io", "library/docker.io", ":latest"},
    {"127.0.0.1:5000", "docker.io", "library/127.0.0.1", ":5000"},
    // What makes a first component a registry
    {"localhost/app", "localhost", "app", ":latest"},
    {"localhost:5000/app:v1", "localhost:5000", "app", ":v1"},
    {"LOCALHOST/app", "LOCALHOST", "app", ":latest"},
    {"Registry/app", "Registry", "app", ":latest"},
    {"registry/app", "docker.io", "registry/app", ":latest"},
    {"registry:5000/app", "registry:5000", "app", ":latest"},
    {"registry:80/a/b-c__d.e:T_a.g-1", "registry:80", "a/b-c__d.e", ":T_a.g-1"},
    {"registry.k8s.io/pause:3.10", "registry.k8s.io", "pause", ":3.10"},
    {"602401143452.dkr.ecr.eu-west-1.amazonaws.com/eks/pause:3.5",
     "602401143452.dkr.ecr.eu-west-1.amazonaws.com", "eks/pause", ":3.5"},
    {"xn--n3h.example/app", "xn--n3h.example", "app", ":latest"},
    {"a-b.c--d/app", "a-b.c--d", "app", ":latest"},
    {"1.2/app", "1.2", "app", ":latest"},
    {"my_registry.lan/app", "my_registry.lan", "app", ":latest"},
    // IP addresses
    {"192.168.0.1/app", "192.168.0.1", "app", ":latest"},
    {"127.0.0.1:5000/app" + kAtDigest, "127.0.0.1:5000", "app", kAtDigest},
    {"[::1]/app", "[::1]", "app", ":latest"},
    {"[::1]:5000/app:v1", "[::1]:5000", "app", ":v1"},
    {"[2001:db8::FFFF]:5000/a/b" + kAtDigest, "[2001:db8::FFFF]:5000", "a/b", kAtDigest},
    // Separators
    {"a.b", "docker.io", "library/a.b", ":latest"},
    {"a_b", "docker.io", "library/a_b", ":latest"},
    {"a__b", "docker.io", "library/a__b", ":latest"},
    {"a-----b", "docker.io", "library/a-----b", ":latest"},
    {"a.b_c__d-e--f", "docker.io", "library/a.b_c__d-e--f", ":latest"},
    {"0", "docker.io", "library/0", ":latest"},
    // Tags and digests
    {"nginx:_", "docker.io", "library/nginx", ":_"},
    {"nginx:A.-_", "docker.io", "library/nginx", ":A.-_"},
    {"nginx:" + std::string(128, 't'), "docker.io", "library/nginx", ":" + std::string(128, 't')},
    {"nginx" + kAtDigest, "docker.io", "library/nginx", kAtDigest},
    {"nginx:1.27" + kAtDigest, "docker.io", "library/nginx", ":1.27" + kAtDigest},
    {"ghcr.io/a/b:c" + kAtDigest, "ghcr.io", "a/b", ":c" + kAtDigest},
    // Hex digits are an image ID only if they are exactly 64 lower-case ones
    {kHex.substr(1), "docker.io", "library/" + kHex.substr(1), ":latest"},
    {kHex + "0", "docker.io", "library/" + kHex + "0", ":latest"},
    {kHex + ":v1", "docker.io", "library/" + kHex, ":v1"},
    {"docker.io/" + kHex, "docker.io", "library/" + kHex, ":latest"},
    {"a/" + kHex, "docker.io", "a/" + kHex, ":latest"},
    {"sha256:" + kHex, "docker.io", "library/sha256", ":" + kHex},
    // The longest name
    {kLongestOfficial, "docker.io", "library/" + kLongestOfficial, ":latest"},
};

struct RefusedCase {
    std::string text;
    std::string reason;
    Errc code = Errc::usage;
};

const std::vector<RefusedCase> kRefused = {
    // Typical mistakes
    {"", "it is empty"},
    {" ", "there is white space before or after it"},
    {" nginx", "there is white space before or after it"},
    {"nginx\n", "there is white space before or after it"},
    {"nginx 1.27", "it contains white space"},
    {"nginx:{{ VERSION }}", "it contains white space"},
    {"nginx:${VERSION}", "the tag has the character '$'"},
    {"https://ghcr.io/a/b", "it is a URL"},
    {"http://localhost:5000/a", "it is a URL"},
    {"docker://nginx", "it is a URL"},
    {kHex, "64 hex digits alone are an image ID"},
    {"nginx" + kAtDigest + kAtDigest, "more than one '@'"},
    // Registry
    {"registry:/app", "port is empty"},
    {"registry:port/app", "port \"port\" is not a number"},
    {"registry:50a0/app", "port \"50a0\" is not a number"},
    {"nginx:1.27/app", "port \"1.27\" is not a number"},
    {"::1/app", "needs brackets"},
    {"fe80::1:5000/app", "needs brackets"},
    {"[::1/app", "lacks its ']'"},
    {"[::1%eth0]/app", "holds no IPv6 address"},
    {"[fe80::1%25eth0]:5000/app", "holds no IPv6 address"},
    {"[::ffff:127.0.0.1]/app", "holds no IPv6 address"},
    {"[:]x:5000/app", "not followed by ':' and a port"},
    {"[::1]:/app", "port is empty"},
    {"[]:5000/app", "holds no IPv6 address"},
    {"[::1]", "the repository has the character '['"},
    {"[fe]/app", "the repository has the character '['"},
    {"-registry.lan/app", "starts or ends with '-'"},
    {"registry-.lan/app", "starts or ends with '-'"},
    {"registry..lan/app", "an empty label"},
    {".lan/app", "an empty label"},
    {"lan./app", "an empty label"},
    {":5000/app", "an empty label"},
    {"my_registry:5000/app", "host has the character '_'"},
    {"My_registry.lan/app", "host has the character '_'"},
    {"r\xc3\xa9gistre.lan/app", "host has the character '\\xc3'"},
    {"registry.lan$/app", "host has the character '$'"},
    // Repository
    {"Nginx", "upper-case letter 'N'"},
    {"ghcr.io/Org/app", "upper-case letter 'O'"},
    {"library/nginX", "upper-case letter 'X'"},
    {"docker.io/Nginx:1.27", "upper-case letter 'N'"},
    {"Registry/App", "upper-case letter 'A'"},
    {"n\xc3\xa4ginx", "the repository has the character '\\xc3'"},
    {"a/b$c", "the repository has the character '$'"},
    {"a\\b", "the repository has the character '\\'"},
    {"$nginx", "the repository has the character '$'"},
    {std::string("nginx\0x", 7), "the repository has the character '\\x00'"},
    {"/", "two '/' follow each other, or one starts or ends it"},
    {"/nginx", "two '/' follow each other, or one starts or ends it"},
    {"nginx/", "two '/' follow each other, or one starts or ends it"},
    {"a//b", "two '/' follow each other, or one starts or ends it"},
    {"ghcr.io//b", "two '/' follow each other, or one starts or ends it"},
    {"docker.io/", "two '/' follow each other, or one starts or ends it"},
    {"index.docker.io/", "two '/' follow each other, or one starts or ends it"},
    {"localhost/", "it has no repository"},
    {"localhost/:v1", "it has no repository"},
    {"ghcr.io/" + kAtDigest, "it has no repository"},
    {"-nginx", "\"-nginx\" does not start and end with a letter or digit"},
    {"nginx-", "\"nginx-\" does not start and end with a letter or digit"},
    {".nginx", "does not start and end with a letter or digit"},
    {"nginx.", "does not start and end with a letter or digit"},
    {"_nginx", "does not start and end with a letter or digit"},
    {"a/__/b", "does not start and end with a letter or digit"},
    {"a/../b", "does not start and end with a letter or digit"},
    {"a..b", "separator \"..\""},
    {"a___b", "separator \"___\""},
    {"a._b", "separator \"._\""},
    {"a-_b", "separator \"-_\""},
    {"a.-b", "separator \".-\""},
    {"a-b..c", "separator \"..\""},
    {kLongestOfficial + "a", "its name has 256 characters, allowed are 255"},
    {"ghcr.io/" + std::string(248, 'a'), "its name has 256 characters, allowed are 255"},
    // Tag
    {"nginx:", "the tag after the ':' is empty"},
    {"nginx:" + kAtDigest, "the tag after the ':' is empty"},
    {":v1", "two '/' follow each other, or one starts or ends it"},
    {"nginx:.v1", "the tag starts with '.'"},
    {"nginx:-v1", "the tag starts with '-'"},
    {"nginx:v1:v2", "the tag has the character ':'"},
    {"nginx:v1+build", "the tag has the character '+'"},
    {"docker.io/nginx:v1/x", "the tag has the character '/'"},
    {"nginx:v\xc3\xa9", "the tag has the character '\\xc3'"},
    {"nginx:" + std::string(129, 't'), "the tag has 129 characters, allowed are 128"},
    // Digest
    {kAtDigest, "two '/' follow each other, or one starts or ends it"},
    {"nginx@", "does not start with sha256:"},
    {"nginx@latest", "does not start with sha256:"},
    {"nginx@" + kHex, "does not start with sha256:"},
    {"nginx@sha256:", "it has 0 hex digits instead of 64"},
    {"nginx" + kAtDigest + "0", "it has 65 hex digits instead of 64"},
    {"nginx@sha256:A" + kHex.substr(1), "'A' is upper-case"},
    {"nginx@SHA256:" + kHex, "algorithm \"SHA256\""},
    {"nginx" + kAtDigest + ":v1", "':' is not a hex digit"},
    {"nginx" + kAtDigest + "/x", "a '/' follows the '@'"},
    {"nginx@sha512:" + kHex + kHex, "algorithm \"sha512\"", Errc::unsupported},
    {"nginx@md5:d41d8cd98f00b204e9800998ecf8427e", "algorithm \"md5\"", Errc::unsupported},
};

TEST_CASE("references are normalised as Docker and containerd do") {
    for (const AcceptedCase& row : kAccepted) {
        CAPTURE(row.text);
        const Reference reference = Reference::parse(row.text);
        CHECK(reference.registry == row.registry);
        CHECK(reference.repository == row.repository);
        CHECK(reference.str() == row.registry + "/" + row.repository + row.suffix);
    }
}

TEST_CASE("a normalised reference normalises to itself") {
    for (const AcceptedCase& row : kAccepted) {
        CAPTURE(row.text);
        Reference once = Reference::parse(row.text);
        once.tag_was_implied = false;  // str() writes the tag out
        CHECK(Reference::parse(once.str()) == once);
    }
}

TEST_CASE("malformed references are refused with the reason") {
    for (const RefusedCase& row : kRefused) {
        CAPTURE(row.text);
        const auto error = thrown_by([&] { Reference::parse(row.text); });
        CHECK(error.code() == row.code);
        CHECK_MESSAGE(contains(error.message(), row.reason), error.message());
        CHECK(contains(error.message(), "invalid image reference \""));
        CHECK_FALSE(error.next_step().empty());
    }
}

TEST_CASE("the error quotes the reference as written, and the next step names the scheme") {
    const auto error = thrown_by([] { Reference::parse("https://ghcr.io/a/b"); });
    CHECK(contains(error.message(), "\"https://ghcr.io/a/b\""));
    CHECK(error.next_step() == "leave out \"https://\"");
}

TEST_CASE("credentials in a reference are not in the error") {
    for (const char* text :
         {"user:s3cret@ghcr.io/a/b", "https://user:s3cret@ghcr.io/a/b", "user:s3cret@ghcr.io",
          "https://user:s3cret@ghcr.io", "user:s3/cret@ghcr.io/a", "user:s3cret@sha.example/a",
          "user:s3cret@x@ghcr.io/a", "s3cret@ghcr.io/a", "user:s3cret@ghcr.io/a b"}) {
        CAPTURE(text);
        const auto error = thrown_by([&] { Reference::parse(text); });
        CHECK(error.code() == Errc::usage);
        CHECK_MESSAGE(!contains(error.what(), "s3"), error.what());
        CHECK_MESSAGE(!contains(error.what(), "cret"), error.what());
    }
}

TEST_CASE("tag and digest are distinguished, and an implied tag is marked") {
    struct Case {
        std::string text;
        std::optional<std::string> tag_name;
        bool has_digest;
        bool implied;
    };
    const std::string name = "docker.io/library/nginx";
    for (const Case& row : std::vector<Case>{
             {"nginx", name + ":latest", false, true},
             {"nginx:latest", name + ":latest", false, false},
             {"nginx:1.27", name + ":1.27", false, false},
             {"nginx" + kAtDigest, std::nullopt, true, false},
             {"nginx:1.27" + kAtDigest, name + ":1.27", true, false},
         }) {
        CAPTURE(row.text);
        const Reference reference = Reference::parse(row.text);
        CHECK(reference.name() == name);
        CHECK(reference.tag_name() == row.tag_name);
        CHECK(reference.tag_was_implied == row.implied);
        CHECK(reference.digest.has_value() == row.has_digest);
        if (row.has_digest) CHECK(reference.digest == Digest::parse(kDigest));
    }
}

TEST_CASE("registry_host() is the host without port and brackets") {
    struct Case {
        const char* text;
        const char* host;
    };
    for (const Case& row : std::vector<Case>{{"nginx", "docker.io"},
                                             {"localhost/a", "localhost"},
                                             {"localhost:5000/a", "localhost"},
                                             {"127.0.0.1:5000/a", "127.0.0.1"},
                                             {"[::1]/a", "::1"},
                                             {"[2001:db8::1]:5000/a", "2001:db8::1"}}) {
        CAPTURE(row.text);
        CHECK(Reference::parse(row.text).registry_host() == row.host);
    }
}

}  // namespace prebake::oci::reference_test
