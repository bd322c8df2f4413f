#include "agent/registry/blob_source.h"

#include <doctest/doctest.h>

#include <limits>

#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/read_rest.h"
#include "tests/unit/registry/scripted_http.h"

namespace prebake::registry {
namespace {

using namespace std::chrono_literals;

const oci::Reference kRepository = oci::Reference::parse("reg.example/a:1");
const std::string kBlob = "0123456789";
const oci::Digest kDigest = oci::Digest::of(kBlob);
const std::string kUrl = "https://reg.example/v2/a/blobs/" + kDigest.str();

Step whole(std::string body = kBlob) {
    return Step{.url = kUrl, .without = {"Range"}, .body = std::move(body)};
}

Step from(std::size_t offset, const std::string& body = kBlob) {
    return Step{.url = kUrl,
                .with = {{"Range", "bytes=" + std::to_string(offset) + "-"}},
                .status = 206,
                .headers = {{"Content-Range", "bytes " + std::to_string(offset) + "-" +
                                                  std::to_string(body.size() - 1) + "/" +
                                                  std::to_string(body.size())}},
                .body = body.substr(offset)};
}

Step breaking(Step step, std::size_t after) {
    step.breaks_after = after;
    return step;
}

/// The step as the answer to a request for the rest from this byte.
Step answering(std::size_t asked, Step step) {
    step.without.clear();
    step.with = {{"Range", "bytes=" + std::to_string(asked) + "-"}};
    return step;
}

Step ignoring_range(std::size_t asked, std::string body = kBlob) {
    return answering(asked, whole(std::move(body)));
}

Step refusing(std::size_t asked, int status) {
    return answering(asked, Step{.url = kUrl, .status = status});
}

std::unique_ptr<BlobSource> open(std::vector<Step> steps, std::uint64_t offset = 0,
                                 std::uint64_t size = kBlob.size(), int attempts = 3,
                                 BlobSource::Deadline deadline = {}) {
    const RetryOptions options{
        .retry = {.attempts = attempts, .first_delay = 1ms, .max_delay = 1ms}, .on_retry = {}};
    return std::make_unique<BlobSource>(
        std::make_shared<RequestSender>(std::make_shared<ScriptedHttp>(std::move(steps)),
                                        FixedCredentials::none()),
        std::make_shared<const RetryOptions>(options), kRepository,
        oci::Descriptor{
            .media_type = "x", .digest = kDigest, .size = size, .annotations = {}, .platform = {}},
        offset, deadline, std::stop_token());
}

std::string read_all(Source& source, std::size_t piece = 4) {
    return tests::read_rest(source, piece);
}

TEST_CASE("a blob is not resumed after its deadline") {
    const auto source =
        open({breaking(whole(), 3)}, 0, kBlob.size(), 3, std::chrono::steady_clock::now() - 1s);
    CHECK(error_of([&] { read_all(*source); }).code() == Errc::unavailable);
}

TEST_CASE("Content-Range headers") {
    struct Row {
        std::string text;
        std::optional<ContentRange> expected;
    };
    for (const Row& row : {
             Row{"bytes 5-9/10", ContentRange{5, 10}},
             Row{"bytes 0-0/*", ContentRange{0, std::nullopt}},
             Row{"bytes 5-9", {}},
             Row{"bytes */10", {}},
             Row{"bytes 5-9/10x", {}},
             Row{"bytes -9/10", {}},
             Row{"bytes 99999999999999999999-9/10", {}},
             Row{"items 5-9/10", {}},
             Row{"", {}},
         }) {
        CAPTURE(row.text);
        CHECK(parse_content_range(row.text) == row.expected);
    }
}

TEST_CASE("a blob is read despite failures") {
    struct Row {
        std::string name;
        std::vector<Step> steps;
        std::uint64_t offset;
        const char* expected;
        int attempts = 3;
    };
    Step chunked = whole();
    chunked.chunked = true;
    Step unknown_size = from(6);
    unknown_size.headers = {{"Content-Range", "bytes 6-9/*"}};
    Step short_answer = whole("0123");
    Step odd_type = whole();
    odd_type.headers = {{"Content-Type", "text/html"}};
    const std::vector<Row> rows = {
        {"in one go", {whole()}, 0, "0123456789"},
        {"chunked", {chunked}, 0, "0123456789"},
        {"with an odd type", {odd_type}, 0, "0123456789"},
        {"from an offset", {from(6)}, 6, "6789"},
        {"from an offset, size unknown", {unknown_size}, 6, "6789"},
        {"from an offset without Range", {ignoring_range(6)}, 6, "6789"},
        {"from its end", {}, 10, ""},
        {"resumed after a break", {breaking(whole(), 5), from(5)}, 0, "0123456789"},
        {"resumed twice", {breaking(whole(), 3), breaking(from(3), 3), from(6)}, 0, "0123456789"},
        {"resumed without Range", {breaking(whole(), 5), ignoring_range(5)}, 0, "0123456789"},
        {"broken again while skipping",
         {breaking(whole(), 5), breaking(ignoring_range(5), 3), from(5)},
         0,
         "0123456789",
         4},
        {"short, then the rest", {short_answer, from(4)}, 0, "0123456789"},
        {"progress resets the count",
         {breaking(whole(), 1), breaking(from(1), 1), breaking(from(2), 1), breaking(from(3), 1),
          from(4)},
         0,
         "0123456789"},
        {"500 at first", {{.url = kUrl, .status = 500}, whole()}, 0, "0123456789"},
        {"no connection at first",
         {{.url = kUrl, .refuses = Error(Errc::timed_out, "slow")}, whole()},
         0,
         "0123456789"},
        {"500 when resumed",
         {breaking(whole(), 5), {.url = kUrl, .status = 502}, from(5)},
         0,
         "0123456789",
         4},
        {"a break after the last byte", {breaking(chunked, 10)}, 0, "0123456789"},
        {"a range from an earlier byte",
         {breaking(whole(), 5), answering(5, from(3))},
         0,
         "0123456789"},
        {"a range where none was asked for", {from(0)}, 0, "0123456789"},
        {"the last attempt is made without a range",
         {breaking(whole(), 5), refusing(5, 502), whole()},
         0,
         "0123456789"},
        {"a refused range is not asked for again",
         {breaking(whole(), 5), refusing(5, 416), breaking(whole(), 7), whole()},
         0,
         "0123456789"},
        {"a break while the known bytes are dropped",
         {breaking(whole(), 5), refusing(5, 416), breaking(whole(), 3), whole()},
         0,
         "0123456789"},
        {"an earlier bake's bytes, and a refused range", {refusing(6, 416), whole()}, 6, "6789"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        std::vector<Step> steps = row.steps;
        if (std::string_view(row.name).starts_with("a range where")) steps.front().with.clear();
        for (const std::size_t piece : {1U, 4U, 100U}) {
            CAPTURE(piece);
            const auto source = open(steps, row.offset, kBlob.size(), row.attempts);
            CHECK(read_all(*source, piece) == row.expected);
        }
    }
}

TEST_CASE("where a range is not served as it should be, the blob is read from its start, at once") {
    struct Row {
        std::string name;
        Step answer;
    };
    const auto ranged = [](const std::string& header) {
        Step step = from(5);
        step.headers = {{"Content-Range", header}};
        return step;
    };
    Step multipart = from(5);
    multipart.headers = {{"Content-Type", "multipart/byteranges; boundary=b"}};
    Step without_header = from(5);
    without_header.headers.clear();
    Step all_of_it = from(5);
    all_of_it.body = kBlob;
    Step too_long = from(5);
    too_long.length = std::numeric_limits<std::uint64_t>::max();
    Step longer_whole = ignoring_range(5, kBlob + "x");
    Step page = ignoring_range(5, "<title>Wait</title>");
    page.headers = {{"Content-Type", "text/html"}};
    std::vector<Row> rows = {
        {"206 without Content-Range", without_header},
        {"several ranges", multipart},
        {"a later range", ranged("bytes 6-9/10")},
        {"another total, longer", ranged("bytes 5-9/11")},
        {"another total, shorter", ranged("bytes 5-7/8")},
        {"no range at all", ranged("bytes */10")},
        {"not bytes", ranged("items 5-9/10")},
        {"206 with the whole blob", all_of_it},
        {"206 with too many bytes", too_long},
        {"200 with too many bytes", longer_whole},
        {"another success", refusing(5, 204)},
        {"a web page", page},
    };
    for (const int status : {400, 403, 404, 405, 406, 409, 412, 416, 422, 501, 505}) {
        rows.push_back({std::to_string(status), refusing(5, status)});
    }
    for (const Row& row : rows) {
        CAPTURE(row.name);
        // With one attempt for each piece of progress there is none to wait for.
        CHECK(read_all(*open({breaking(whole(), 5), answering(5, row.answer), whole()}, 0,
                             kBlob.size(), 2)) == kBlob);
    }
}

TEST_CASE("a range that a redirected host refuses is taken up at the registry") {
    const std::string cdn = "https://cdn.example/b?sig=";
    const auto redirected = [&](const std::string& to) {
        return Step{.url = kUrl, .status = 307, .headers = {{"Location", cdn + to}}};
    };
    Step first = breaking(whole(), 5);
    first.url = cdn + "1";
    Step refused = refusing(5, 403);
    refused.url = cdn + "2";
    Step last = whole();
    last.url = cdn + "3";
    last.without = {"Range"};
    CHECK(read_all(*open(
              {redirected("1"), first, redirected("2"), refused, redirected("3"), last})) == kBlob);
}

TEST_CASE("an invalid blob is an error") {
    struct Row {
        std::string name;
        std::vector<Step> steps;
        std::uint64_t offset;
        Errc code;
        const char* message;
    };
    Step chunked_longer = whole(kBlob + "x");
    chunked_longer.chunked = true;
    Step page = whole("<title>Log in to the hotel</title>");
    page.headers = {{"Content-Type", "text/HTML; charset=utf-8"}};
    Step short_page = page;
    short_page.body = "<p>no";
    const Step unsatisfiable = refusing(4, 416);
    const Step missing{.url = kUrl, .status = 404};
    const Step down{.url = kUrl, .status = 503};
    const std::vector<Row> rows = {
        {"Content-Length too long", {whole(kBlob + "x")}, 0, Errc::corrupt, "longer than declared"},
        {"a web page",
         {page},
         0,
         Errc::unsupported,
         "a web page instead of it (Log in to the hotel)"},
        {"a short web page", {short_page}, 0, Errc::unsupported, "a web page instead of it (no)"},
        {"a byte too many", {chunked_longer}, 0, Errc::corrupt, "longer than declared"},
        {"range of a longer blob",
         {from(6, kBlob + "x"), whole(kBlob + "x")},
         6,
         Errc::corrupt,
         "longer than declared"},
        {"206 to a request without Range", {from(5, kBlob)}, 0, Errc::corrupt, "another range"},
        {"truncated, with Range",
         {whole("0123"), unsatisfiable, whole("0123"), whole("0123")},
         0,
         Errc::corrupt,
         "truncated: the registry ends it after 4 of 10 bytes (3 attempts)"},
        {"truncated, without Range",
         {whole("0123"), ignoring_range(4, "0123"), whole("0123")},
         0,
         Errc::corrupt,
         "truncated: the registry ends it after 4 of 10 bytes (3 attempts)"},
        {"not found", {missing}, 0, Errc::not_found, "404"},
        {"gone when resumed", {breaking(whole(), 5), missing, missing}, 0, Errc::not_found, "404"},
        {"down for good", {down, down, down}, 0, Errc::unavailable, "503"},
        {"breaks at the same byte for good",
         {breaking(whole(), 5), breaking(from(5), 0), breaking(whole(), 5)},
         0,
         Errc::unavailable,
         "broke (3 attempts)"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        std::vector<Step> steps = row.steps;
        if (std::string_view(row.name).starts_with("206 to")) steps.front().with.clear();
        const Error error = error_of([&] { read_all(*open(steps, row.offset)); });
        CHECK(error.code() == row.code);
        CHECK(contains(error.message(), row.message));
        CHECK(contains(error.message(),
                       "cannot fetch blob " + kDigest.short_form() + " of reg.example/a: "));
    }
}

TEST_CASE("a resume starts at the registry, not at the signed URL") {
    const std::string signed_url = "https://cdn.example/b?sig=SECRET";
    const auto redirected = [&](std::string to) {
        return Step{.url = kUrl, .status = 307, .headers = {{"Location", std::move(to)}}};
    };
    Step first = breaking(whole(), 5);
    first.url = signed_url;
    Step second = from(5);
    second.url = "https://cdn.example/b?sig=OTHER";
    CHECK(read_all(*open({redirected(signed_url), first, redirected(second.url), second})) ==
          kBlob);
}

TEST_CASE("an empty blob needs no request") {
    CHECK(read_all(*open({}, 0, 0)).empty());
}

}  // namespace
}  // namespace prebake::registry
