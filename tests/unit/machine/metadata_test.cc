#include "agent/machine/metadata.h"

#include <doctest/doctest.h>

#include "tests/unit/base/thrown.h"
#include "tests/unit/machine/scripted_metadata.h"

namespace prebake::machine::metadata_test {

using namespace std::chrono_literals;
using tests::contains;
using tests::ScriptedMetadata;
using tests::thrown_by;

constexpr const char* kGceDocument = R"({"attributes":{"ssh-keys":"x"},"hostname":
  "vm-1.europe-west1-b.c.proj.internal","id":5678901234567890123,
  "image":"projects/debian-cloud/global/images/debian-12-bookworm-v20260101",
  "machineType":"projects/123456/machineTypes/n1-standard-1","name":"vm-1",
  "networkInterfaces":[{"ip":"10.132.0.2","mac":"42:01:0a:84:00:02"}],"tags":["http"],
  "zone":"projects/123456/zones/europe-west1-b"})";
constexpr const char* kAzureDocument = R"({"compute":{"location":"westeurope","name":"vm-1",
  "osProfile":{"computerName":"vm-one"},"storageProfile":{"imageReference":{"id":
  "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/i"}},
  "subscriptionId":"4f1c9d1a-0000-4f5c-9b0e-2f6f3f1d8a11",
  "tagsList":[{"name":"Name","value":"blue"},{"name":"bad","value":"\u0007"},{"name":7}],
  "vmId":"4F1C9D1A-7A36-4F5C-9B0E-2F6F3F1D8A11","vmSize":"Standard_D2s_v3","zone":"1"},
  "network":{"interface":[{"ipv4":{"ipAddress":[{"privateIpAddress":"10.0.0.4"}]}}]}})";

constexpr MetadataLimits kQuick{
    .total = 150ms, .attempt = 40ms, .first_delay = 1ms, .max_delay = 4ms};

/// For what ends by itself, however busy the machine is.
constexpr MetadataLimits kPatient{
    .total = 60'000ms, .attempt = 40ms, .first_delay = 1ms, .max_delay = 4ms};

v1::Instance on(const char* platform) {
    v1::Instance instance;
    instance.set_platform(platform);
    return instance;
}

const std::string kToken = std::string("PUT ") + tests::kEc2 + "/api/token";
const std::string kDocument =
    std::string("GET ") + tests::kEc2 + "/dynamic/instance-identity/document";
const std::string kInstanceId = std::string("GET ") + tests::kEc2 + "/meta-data/instance-id";
const std::string kName = std::string("GET ") + tests::kEc2 + "/meta-data/local-hostname";
const std::string kTags = std::string("GET ") + tests::kEc2 + "/meta-data/tags/instance";
const std::string kGce = "GET http://169.254.169.254/computeMetadata/v1/instance/";
const std::string kAzure = "GET http://169.254.169.254/metadata/instance?api-version=2021-08-01";

TEST_CASE("parsers: what each cloud reports") {
    const Metadata ec2 = parse_ec2_identity_document(tests::kEc2Document);
    CHECK(ec2.instance.platform() == "ec2");
    CHECK(ec2.instance.id() == "i-0123456789abcdef0");
    CHECK(ec2.instance.source() == "metadata");
    CHECK(ec2.account == "123456789012");
    CHECK(ec2.region == "eu-west-1");
    CHECK(ec2.zone == "eu-west-1a");
    CHECK(ec2.instance_type == "m5.large");
    CHECK(ec2.image_id == "ami-0123456789abcdef0");
    CHECK(ec2.local_ipv4 == "10.24.34.0");

    const Metadata gce = parse_gce_instance(kGceDocument);
    CHECK(gce.instance.platform() == "gce");
    CHECK(gce.instance.id() == "5678901234567890123");
    CHECK(gce.account == "123456");
    CHECK(gce.region == "europe-west1");
    CHECK(gce.zone == "europe-west1-b");
    CHECK(gce.instance_type == "n1-standard-1");
    CHECK(gce.image_id == "projects/debian-cloud/global/images/debian-12-bookworm-v20260101");
    CHECK(gce.hostname == "vm-1.europe-west1-b.c.proj.internal");
    CHECK(gce.local_ipv4 == "10.132.0.2");
    CHECK(gce.tags.empty());
    CHECK(parse_gce_instance(R"({"id":18446744073709551615})").instance.id() ==
          "18446744073709551615");

    const Metadata azure = parse_azure_instance(kAzureDocument);
    CHECK(azure.instance.platform() == "azure");
    CHECK(azure.instance.id() == "4f1c9d1a-7a36-4f5c-9b0e-2f6f3f1d8a11");
    CHECK(azure.account == "4f1c9d1a-0000-4f5c-9b0e-2f6f3f1d8a11");
    CHECK(azure.region == "westeurope");
    CHECK(azure.zone == "1");
    CHECK(azure.instance_type == "Standard_D2s_v3");
    CHECK(contains(azure.image_id, "/images/i"));
    CHECK(azure.hostname == "vm-one");
    CHECK(azure.local_ipv4 == "10.0.0.4");
    CHECK(azure.tags == std::map<std::string, std::string>{{"Name", "blue"}});
}

TEST_CASE("parsers: a value in the wrong format is left out, the rest counts") {
    const std::string id = R"("instanceId":"i-0123456789abcdef0")";
    const char* const rows[] = {
        R"("accountId":"12 3")",           R"("accountId":123)",
        R"("region":"eu west")",           R"("region":"eu-west-1\n127.0.0.1 bank")",
        R"("availabilityZone":"../x")",    R"("instanceType":"`reboot`")",
        R"("imageId":"ami\u00001")",       R"("privateIp":"10.0.0.256")",
        R"("privateIp":"10.0.0.1\u0000")", R"("privateIp":["10.0.0.1"])",
    };
    for (const char* const row : rows) {
        CAPTURE(row);
        const Metadata metadata = parse_ec2_identity_document("{" + id + "," + row + "}");
        CHECK(metadata.instance.id() == "i-0123456789abcdef0");
        CHECK(metadata.account + metadata.region + metadata.zone + metadata.instance_type +
                  metadata.image_id + metadata.local_ipv4 ==
              "");
    }
    const std::string long_label(64, 'a');
    for (const std::string& name : {std::string("a_b"), std::string("-a"), std::string("a..b"),
                                    std::string("a."), long_label, std::string("a b")}) {
        CAPTURE(name);
        CHECK(parse_gce_instance(R"({"id":1,"hostname":")" + name + "\"}").hostname.empty());
    }
}

TEST_CASE("parsers: garbage is corrupt, never a crash") {
    const std::string rows[] = {
        "",
        " ",
        "null",
        "7",
        "\"i-0123456789abcdef0\"",
        "[]",
        "{}",
        "{\"compute\":[]}",
        "{\"compute\":{\"vmId\":null}}",
        "{\"instanceId\":7,\"id\":-7}",
        "{\"instanceId\":null,\"id\":1.5}",
        "{\"instanceId\":\"i-0123\",\"id\":\"seven\"}",
        "{\"instanceId\":\"i-0123456789abcdef0\\u0000\",\"id\":\"12\\u0000\"}",
        "{\"instanceId\":\"I-0123456789ABCDEF0\",\"id\":0}",
        "{\"instanceId\":{\"instanceId\":\"i-0123456789abcdef0\"},\"id\":{}}",
        std::string(tests::kEc2Document).substr(0, 200),
        std::string(kGceDocument).substr(0, 200),
        std::string(kAzureDocument).substr(0, 400),
        std::string("{\"a\":\"\0\"}", 9),
        std::string("\xff\xfe{\0}\0", 6),
        "<!DOCTYPE html><html><body>Sign in</body></html>",
        std::string(100'000, '['),
        "{\"id\":1e999999}",
        "{\"id\":" + std::string(1000, '9') + "}",
        std::string(10'000'000, 'x'),
        "{\"instanceId\":\"i-0123456789abcdef0\",\"id\":1,\"pad\":\"" +
            std::string(kMaxMetadataBytes, ' ') + "\"}",
    };
    for (const std::string& row : rows) {
        CAPTURE(row.substr(0, 100));
        CHECK(thrown_by([&] { parse_ec2_identity_document(row); }).code() == Errc::corrupt);
        CHECK(thrown_by([&] { parse_gce_instance(row); }).code() == Errc::corrupt);
        CHECK(thrown_by([&] { parse_azure_instance(row); }).code() == Errc::corrupt);
    }
    const Error error =
        thrown_by([] { parse_ec2_identity_document("{\"password\":\"hunter2\"}"); });
    CHECK(!contains(error.what(), "hunter2"));
}

TEST_CASE("parse_token: one printable word") {
    CHECK(parse_token("AQAEA_abc==") == "AQAEA_abc==");
    CHECK(parse_token("AQAEA_abc==\n") == "AQAEA_abc==");
    CHECK(parse_token(std::string(4096, 'a')).size() == 4096);
    for (const std::string& row :
         {std::string(), std::string("\n"), std::string("a b"), std::string("a\r\nHost: x"),
          std::string("a\n\n"), std::string("a\0b", 3), std::string("\xc3\xa4"),
          std::string(4097, 'a')}) {
        CAPTURE(row.substr(0, 100));
        CHECK(thrown_by([&] { parse_token(row); }).code() == Errc::corrupt);
    }
}

TEST_CASE("parse_tag_keys: one per line, in the characters that IMDS allows") {
    CHECK(parse_tag_keys("") == std::vector<std::string>{});
    CHECK(parse_tag_keys("Name\naws:autoscaling:groupName\na+b-c=d.e,f_g@h\n").size() == 3);
    CHECK(parse_tag_keys(std::string(128, 'k')).size() == 1);
    std::string many;
    for (int i = 0; i < 257; ++i) many += "key" + std::to_string(i) + "\n";
    for (const std::string& row :
         {std::string("a b"), std::string("../api/token"), std::string(".."), std::string("."),
          std::string("_index"), std::string("<html>"), std::string("a\r\n"), std::string("a\0", 2),
          std::string(129, 'k'), std::string(10'000'000, 'x'), many}) {
        CAPTURE(row.substr(0, 100));
        CHECK(thrown_by([&] { parse_tag_keys(row); }).code() == Errc::corrupt);
    }
}

TEST_CASE("next_delay: doubled up to the limit") {
    const MetadataLimits limits{.first_delay = 200ms, .max_delay = 5000ms};
    const std::pair<int, std::chrono::milliseconds> rows[] = {
        {1, 200ms},  {2, 400ms},  {3, 800ms},         {4, 1600ms},
        {5, 3200ms}, {6, 5000ms}, {1'000'000, 5000ms}};
    for (const auto& row : rows) CHECK(next_delay(limits, row.first) == row.second);
    CHECK(next_delay({.first_delay = 9ms, .max_delay = 3ms}, 1) == 3ms);
}

TEST_CASE("fetch: EC2 by token, document, name and tags") {
    ScriptedMetadata service;
    tests::serve_ec2(service);
    service.on(kTags, {tests::with_token("TOKEN==", "Name\nrole\n")});
    service.on(kTags + "/Name", {tests::with_token("TOKEN==", "blue whale")});
    service.on(kTags + "/role", {tests::with_token("TOKEN==", "a\nb")});
    const Metadata metadata = fetch_metadata(on("ec2"), service, kPatient, {});
    CHECK(metadata.instance.id() == "i-0123456789abcdef0");
    CHECK(metadata.hostname == "ip-10-24-34-0.eu-west-1.compute.internal");
    CHECK(metadata.tags == std::map<std::string, std::string>{{"Name", "blue whale"}});
    CHECK(service.count(kToken) == 1);
    for (const auto limit : service.limits) CHECK(limit <= kPatient.attempt);
}

TEST_CASE("fetch: EC2 with several domains takes the first name") {
    ScriptedMetadata service;
    tests::serve_ec2(service);
    service.on(kName, 200, "a.one.example b.two.example");
    CHECK(fetch_metadata(on("ec2"), service, kPatient, {}).hostname == "a.one.example");
}

TEST_CASE("fetch: EC2 without a usable document falls back to the instance id") {
    for (const auto& document :
         {ScriptedMetadata::says(404), ScriptedMetadata::says(200, "<html>")}) {
        ScriptedMetadata service;
        tests::serve_ec2(service);
        service.on(kDocument, {document});
        service.on(kInstanceId, 200, "i-0123abcd\n");
        CHECK(fetch_metadata(on("ec2"), service, kPatient, {}).instance.id() == "i-0123abcd");
    }
}

TEST_CASE("fetch: optional values are not waited for") {
    for (const Errc failure : {Errc::timed_out, Errc::unavailable, Errc::corrupt}) {
        ScriptedMetadata service;
        tests::serve_ec2(service);
        service.on(kName, {ScriptedMetadata::fails(failure)});
        const Metadata metadata = fetch_metadata(on("ec2"), service, kPatient, {});
        CHECK(metadata.instance.id() == "i-0123456789abcdef0");
        CHECK(metadata.hostname.empty());
        CHECK(service.count(kName) == 1);
        CHECK(service.count(kTags) == 0);
    }
}

TEST_CASE("fetch: an expired token is renewed once") {
    ScriptedMetadata service;
    tests::serve_ec2(service);
    service.on(kToken,
               {ScriptedMetadata::says(200, "OLD"), ScriptedMetadata::says(200, "TOKEN==")});
    CHECK(fetch_metadata(on("ec2"), service, kPatient, {}).instance.id() == "i-0123456789abcdef0");
    CHECK(service.count(kToken) == 2);

    ScriptedMetadata stubborn;
    tests::serve_ec2(stubborn);
    stubborn.on(kDocument, 401, "");
    stubborn.on(kInstanceId, 401, "");
    CHECK(thrown_by([&] { fetch_metadata(on("ec2"), stubborn, kPatient, {}); }).code() ==
          Errc::corrupt);
}

TEST_CASE("fetch: over IPv6 where IPv4 does not work") {
    ScriptedMetadata service;
    const std::string base = tests::kEc2Ipv6;
    service.on("PUT " + base + "/api/token", 200, "T");
    service.on("GET " + base + "/dynamic/instance-identity/document", 200, tests::kEc2Document);
    CHECK(fetch_metadata(on("ec2"), service, kPatient, {}).instance.id() == "i-0123456789abcdef0");
    CHECK(service.calls.front() == kToken);
}

TEST_CASE("fetch: throttling and timeouts are retried") {
    const std::pair<const char*, ScriptedMetadata::Answer> rows[] = {
        {"503", ScriptedMetadata::says(503)},
        {"429", ScriptedMetadata::says(429)},
        {"500", ScriptedMetadata::says(500)},
        {"silence", ScriptedMetadata::fails(Errc::timed_out)},
        {"no route yet", ScriptedMetadata::fails(Errc::unavailable)},
        {"rubbish for a token", ScriptedMetadata::says(200, "<html> </html>")},
    };
    for (const auto& row : rows) {
        CAPTURE(row.first);
        ScriptedMetadata service;
        tests::serve_ec2(service);
        service.on(kToken, {row.second, row.second, ScriptedMetadata::says(200, "TOKEN==")});
        CHECK(fetch_metadata(on("ec2"), service, kPatient, {}).instance.id() ==
              "i-0123456789abcdef0");
        CHECK(service.count(kToken) == 3);
    }
}

struct Failing {
    const char* name;
    const char* platform;
    ScriptedMetadata::Answer token;
    MetadataLimits limits;
    Errc expected;
    std::size_t most_tokens;
};

TEST_CASE("fetch: permanent failures end in time") {
    const Failing rows[] = {
        {"switched off", "ec2", ScriptedMetadata::says(403), kPatient, Errc::permission_denied, 1},
        {"hangs", "ec2", ScriptedMetadata::fails(Errc::timed_out), kQuick, Errc::timed_out, 1000},
        {"unreachable", "ec2", ScriptedMetadata::fails(Errc::unavailable), kQuick,
         Errc::unavailable, 1000},
        {"throttles forever", "ec2", ScriptedMetadata::says(503), kQuick, Errc::unavailable, 1000},
        {"garbage forever", "ec2", ScriptedMetadata::says(200, "<html> </html>"), kPatient,
         Errc::corrupt, 3},
        {"redirects", "ec2", ScriptedMetadata::says(302), kPatient, Errc::corrupt, 3},
        {"10 MB of token", "ec2", ScriptedMetadata::says(200, std::string(10'000'000, 'x')),
         kPatient, Errc::corrupt, 3},
        {"too large for the transport", "ec2", ScriptedMetadata::fails(Errc::too_large), kPatient,
         Errc::corrupt, 3},
        {"bare metal: all is silent", "", ScriptedMetadata::fails(Errc::unavailable), kPatient,
         Errc::not_found, 2},
        {"QEMU: all is silent", "other", ScriptedMetadata::fails(Errc::timed_out), kPatient,
         Errc::not_found, 2},
    };
    for (const Failing& row : rows) {
        CAPTURE(row.name);
        ScriptedMetadata service;
        service.on(kToken, {row.token});
        const auto began = std::chrono::steady_clock::now();
        const Error error =
            thrown_by([&] { fetch_metadata(on(row.platform), service, row.limits, {}); });
        CHECK(error.code() == row.expected);
        CHECK(std::chrono::steady_clock::now() - began < 5s);
        CHECK(service.count(kToken) >= 1);
        CHECK(service.count(kToken) <= row.most_tokens);
    }
}

TEST_CASE("fetch: a token that does not arrive while other responses do means the hop limit") {
    ScriptedMetadata service;
    service.on(kToken, {ScriptedMetadata::fails(Errc::timed_out)});
    service.on(std::string("GET ") + tests::kEc2 + "/meta-data/", 401, "");
    const Error error = thrown_by([&] { fetch_metadata(on("ec2"), service, kQuick, {}); });
    CHECK(error.code() == Errc::timed_out);
    CHECK(contains(error.next_step(), "http-put-response-hop-limit"));
    CHECK(service.count(std::string("GET ") + tests::kEc2 + "/meta-data/") == 1);

    ScriptedMetadata dead;
    dead.on(kToken, {ScriptedMetadata::fails(Errc::timed_out)});
    CHECK(!contains(thrown_by([&] { fetch_metadata(on("ec2"), dead, kQuick, {}); }).next_step(),
                    "hop"));
}

TEST_CASE("fetch: GCE with its header; a document with user data may be too large") {
    const ScriptedMetadata::Answer document = [](const MetadataRequest& request) {
        const bool is_right = tests::header_of(request, "Metadata-Flavor") == "Google";
        return MetadataResponse{.status = is_right ? 200 : 403, .body = kGceDocument};
    };
    ScriptedMetadata service;
    service.on(kGce + "?recursive=true", {document});
    CHECK(fetch_metadata(on("gce"), service, kPatient, {}).instance.id() == "5678901234567890123");
    CHECK(service.calls.size() == 1);

    service.on(kGce + "?recursive=true", {ScriptedMetadata::fails(Errc::too_large)});
    service.on(kGce + "id", 200, "5678901234567890123");
    service.on(kGce + "hostname", 200, "vm-1.c.proj.internal");
    const Metadata metadata = fetch_metadata(on("gce"), service, kPatient, {});
    CHECK(metadata.instance.id() == "5678901234567890123");
    CHECK(metadata.hostname == "vm-1.c.proj.internal");
}

TEST_CASE("fetch: Azure is not ready with 404, 410, 429 and 500") {
    for (const int status : {404, 410, 429, 500}) {
        CAPTURE(status);
        ScriptedMetadata service;
        service.on(kAzure, {ScriptedMetadata::says(status), [](const MetadataRequest& request) {
                                const bool is_right =
                                    tests::header_of(request, "Metadata") == "true";
                                return MetadataResponse{.status = is_right ? 200 : 400,
                                                        .body = kAzureDocument};
                            }});
        CHECK(fetch_metadata(on("azure"), service, kPatient, {}).instance.id() ==
              "4f1c9d1a-7a36-4f5c-9b0e-2f6f3f1d8a11");
        CHECK(service.calls.size() == 2);
    }
}

TEST_CASE("fetch: on an unknown platform each service is queried before any is retried") {
    ScriptedMetadata service;
    service.on(kToken, 403, "");  // what GCE says to a request without its header
    service.on(kGce + "?recursive=true",
               {ScriptedMetadata::says(503), ScriptedMetadata::says(200, kGceDocument)});
    service.on(kAzure, 404, "");
    CHECK(fetch_metadata(on(""), service, kPatient, {}).instance.platform() == "gce");
    REQUIRE(service.calls.size() == 7);
    CHECK(service.calls[0] == kToken);
    CHECK(service.calls[2] == kGce + "?recursive=true");
    CHECK(service.calls[3] == kAzure);
    CHECK(service.calls[4] == kToken);
}

TEST_CASE("fetch: ends at once on a stop request") {
    ScriptedMetadata service;
    std::stop_source source;
    service.on(kToken, {[&](const MetadataRequest&) -> MetadataResponse {
                   source.request_stop();
                   return {.status = 503, .body = ""};
               }});
    const MetadataLimits slow{.first_delay = 60'000ms, .max_delay = 60'000ms};
    CHECK(thrown_by([&] { fetch_metadata(on("ec2"), service, slow, source.get_token()); }).code() ==
          Errc::cancelled);
}

}  // namespace prebake::machine::metadata_test
