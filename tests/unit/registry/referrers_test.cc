#include "agent/registry/referrers.h"

#include <doctest/doctest.h>

#include <memory>

#include "agent/registry/remote.h"
#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/scripted_http.h"

namespace prebake::registry {
namespace {

using namespace std::chrono_literals;

const std::string kReferrersIndexType = "application/vnd.oci.image.index.v1+json";
const oci::Digest kSubject = oci::Digest::of("subject");
const oci::Reference kReferredImage = oci::Reference::parse("reg.example/a/b:1");
const std::string kReferrersUrl = "https://reg.example/v2/a/b/referrers/" + kSubject.str();
const std::string kReferrersTagUrl =
    "https://reg.example/v2/a/b/manifests/sha256-" + kSubject.hex();

/// An index with one child for each name, which is its artifact type, too.
std::string referrers_index(const std::vector<std::string>& names) {
    std::string children;
    for (const std::string& name : names) {
        children += (children.empty() ? "" : ",") +
                    std::string(R"({"mediaType":"application/vnd.oci.image.manifest.v1+json",)") +
                    R"("digest":")" + oci::Digest::of(name).str() +
                    R"(","size":7,"artifactType":")" + name + R"("})";
    }
    return R"({"schemaVersion":2,"mediaType":")" + kReferrersIndexType + R"(","manifests":[)" +
           children + "]}";
}

Step referrers_page(const std::string& query, const std::vector<std::string>& names,
                    const std::string& link = {}) {
    http::Headers headers{{"Content-Type", kReferrersIndexType}};
    if (!link.empty()) headers.emplace_back("Link", link);
    return {.url = kReferrersUrl + query,
            .with = {{"Accept", kReferrersIndexType}},
            .headers = std::move(headers),
            .body = referrers_index(names)};
}

Step referrers_refused(int status) {
    return {.url = kReferrersUrl, .status = status};
}

/// The two requests for the index by its tag.
Step by_referrers_tag(const std::vector<std::string>& names) {
    return {.url = kReferrersTagUrl,
            .headers = {{"Content-Type", kReferrersIndexType}},
            .body = referrers_index(names)};
}

using ReferrerNames = std::vector<std::string>;

ReferrerNames referrers_found(std::vector<Step> steps, EndpointsOf endpoints = endpoints_of) {
    Remote remote(
        std::make_shared<ScriptedHttp>(std::move(steps)), FixedCredentials::none(),
        {.retry = {.attempts = 2, .first_delay = 1ms, .max_delay = 5ms}, .on_retry = nullptr},
        std::move(endpoints));
    ReferrerNames names;
    for (const oci::Descriptor& one : remote.referrers(kReferredImage, kSubject, {})) {
        names.push_back(one.artifact_type);
    }
    return names;
}

TEST_CASE("referrers come from the API, page by page") {
    CHECK(referrers_found({referrers_page("", {})}) == ReferrerNames{});
    CHECK(referrers_found({referrers_page("", {"x", "y"})}) == ReferrerNames{"x", "y"});
    CHECK(referrers_found({referrers_page("", {"x"}, "</v2/a/b/referrers/d?n=1&last=x>; rel=next"),
                           referrers_page("?n=1&last=x", {"y"})}) == ReferrerNames{"x", "y"});
}

Endpoint referrers_mirror(const std::string& host, bool lists = true) {
    return {.base_url = "https://" + host, .lists_referrers = lists, .mirror_of = "reg.example"};
}

Step page_on(const std::string& host, Step page, const std::string& query = "?ns=reg.example") {
    page.url = "https://" + host + "/v2/a/b/referrers/" + kSubject.str() + query;
    return page;
}

TEST_CASE("referrers on mirrors") {
    const Step none_on_m1 = page_on("m1.example", referrers_page("", {}));
    const Step x_on_m1 = page_on("m1.example", referrers_page("", {"x"}));
    const std::string next = "<?n=1>; rel=next";
    struct Row {
        std::string name;
        std::vector<Endpoint> endpoints;  ///< before the registry
        std::vector<Step> steps;
        ReferrerNames found;
    };
    const std::vector<Row> rows = {
        {"a list is an answer", {referrers_mirror("m1.example")}, {x_on_m1}, {"x"}},
        {"an empty list is none",
         {referrers_mirror("m1.example")},
         {none_on_m1, referrers_page("", {"y"})},
         {"y"}},
        {"each host is asked",
         {referrers_mirror("m1.example"), referrers_mirror("m2.example")},
         {none_on_m1, page_on("m2.example", referrers_page("", {})), referrers_page("", {"y"})},
         {"y"}},
        {"the last list counts also if it is empty",
         {referrers_mirror("m1.example")},
         {none_on_m1, referrers_page("", {})},
         {}},
        {"a mirror without the API",
         {referrers_mirror("m1.example")},
         {page_on("m1.example", referrers_refused(404)), referrers_page("", {"y"})},
         {"y"}},
        {"a mirror that answers with something",
         {referrers_mirror("m1.example")},
         {page_on("m1.example", {.body = "<html>"}), referrers_page("", {"y"})},
         {"y"}},
        {"the registry has no API, but the tag",
         {referrers_mirror("m1.example")},
         {none_on_m1,
          referrers_refused(404),
          {.url =
               "https://m1.example/v2/a/b/manifests/sha256-" + kSubject.hex() + "?ns=reg.example",
           .status = 404},
          by_referrers_tag({"y"})},
         {"y"}},
        {"the pages of a mirror",
         {referrers_mirror("m1.example")},
         {page_on("m1.example", referrers_page("", {"x"}, next)),
          page_on("m1.example", referrers_page("", {}), "?n=1&ns=reg.example")},
         {"x"}},
        {"the pages of the registry behind a mirror without any",
         {referrers_mirror("m1.example")},
         {none_on_m1, referrers_page("", {"x"}, next),
          page_on("m1.example", referrers_page("", {}), "?n=1&ns=reg.example"),
          referrers_page("?n=1", {"y"})},
         {"x", "y"}},
        {"a mirror that may not be asked",
         {referrers_mirror("m1.example", false)},
         {referrers_page("", {"y"})},
         {"y"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        std::vector<Endpoint> endpoints = row.endpoints;
        endpoints.push_back({.base_url = "https://reg.example"});
        CHECK(referrers_found(row.steps, [&](std::string_view) { return endpoints; }) == row.found);
    }
}

TEST_CASE("if no host has the capability to list referrers, those that resolve are asked") {
    Endpoint pulls_only = referrers_mirror("m1.example", false);
    pulls_only.resolves = false;
    const Endpoint itself{.base_url = "https://reg.example", .lists_referrers = false};
    CHECK(referrers_found({referrers_page("", {"y"})}, [&](std::string_view) {
              return std::vector{pulls_only, itself};
          }) == ReferrerNames{"y"});
}

TEST_CASE("an empty list of a mirror does not speak for a registry that fails") {
    const auto endpoints = [](std::string_view) {
        return std::vector{referrers_mirror("m1.example"),
                           Endpoint{.base_url = "https://reg.example"}};
    };
    // Not tried again: behind many mirrors it cannot be reached at all.
    const Error error = error_of([&] {
        referrers_found({page_on("m1.example", referrers_page("", {})), referrers_refused(503)},
                        endpoints);
    });
    CHECK(error.code() == Errc::unavailable);
    CHECK(contains(error.message(), "503"));
    CHECK(contains(error.message(), "https://m1.example: it has none"));
}

TEST_CASE("without the API, referrers come from the index with their tag") {
    for (const int status : {404, 400, 405, 406, 403}) {
        CAPTURE(status);
        CHECK(referrers_found({referrers_refused(status), by_referrers_tag({"x"})}) ==
              ReferrerNames{"x"});
    }
    // A page for people, with status 200.
    CHECK(referrers_found({{.url = kReferrersUrl, .body = "<html>"}, by_referrers_tag({"x"})}) ==
          ReferrerNames{"x"});
}

TEST_CASE("without the API and without the tag there are no referrers") {
    CHECK(referrers_found({referrers_refused(404), {.url = kReferrersTagUrl, .status = 404}}) ==
          ReferrerNames{});
}

TEST_CASE("a registry that fails is not one without referrers") {
    CHECK(error_of([] {
              referrers_found({referrers_refused(503), referrers_refused(503)});
          }).code() == Errc::unavailable);
    CHECK(error_of([] {
              referrers_found({referrers_page("", {"x"}, "<?last=x>; rel=\"next\""),
                               {.url = kReferrersUrl + "?last=x", .body = "<html>"}});
          }).code() == Errc::corrupt);
}

TEST_CASE("the next page is the query of the link with rel=next") {
    struct Row {
        std::string link;
        std::string query;
    };
    const std::vector<Row> rows = {
        {"", ""},
        {"</v2/a/referrers/d?n=1&last=x>; rel=\"next\"", "?n=1&last=x"},
        {"<https://elsewhere.example/v2/a/referrers/d?last=x>; rel=next", "?last=x"},
        {"<?last=x>;REL=NEXT", "?last=x"},
        {"<?a=1>; rel=prev, <?a=2>; rel=next", "?a=2"},
        {"<?a=1>; title=\"next\"; rel=\"next\"", "?a=1"},
        {"<?a=1#end>; rel=next", "?a=1"},
        {"</v2/a/referrers/d>; rel=next", ""},
        {"<?a=1>; rel=prev", ""},
        {"<?a=1>", ""},
        {"?a=1; rel=next", ""},
        {"<?a=1; rel=next", ""},
        {"<", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.link);
        CHECK(next_page_of({{"Link", row.link}}) == row.query);
    }
    CHECK(next_page_of({}).empty());
    CHECK(next_page_of({{"Link", "<?a=1>; rel=prev"}, {"Link", "<?a=2>; rel=next"}}) == "?a=2");
}

}  // namespace
}  // namespace prebake::registry
