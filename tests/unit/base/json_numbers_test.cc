#include <doctest/doctest.h>

#include <string>

#include "agent/base/error.h"
#include "agent/base/json.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake {
namespace {

constexpr std::uint64_t kExact = 1ULL << 53;

TEST_CASE("numbers are numbers, unless a double cannot hold them") {
    v1::BakeRecord record;
    v1::BakedImage& image = *record.add_images();
    image.set_name("12");
    image.mutable_target()->set_size(kExact);
    image.mutable_target()->set_media_type("\"size\": \"7\", \\");
    image.set_bytes_fetched(kExact + 1);
    image.set_seconds(0.5);
    image.mutable_baked_at()->set_seconds(60);
    v1::Layer& layer = *image.add_layers();
    layer.set_size(34);
    layer.set_digest("34");
    image.add_placements()->add_names("56");

    for (const JsonForm form : {JsonForm::line, JsonForm::indented}) {
        std::string json = to_json(record, form);
        v1::BakeRecord read;
        from_json(json, read, "the test", "");
        CHECK(read.SerializeAsString() == record.SerializeAsString());
        std::erase_if(json, [](char c) { return c == ' ' || c == '\n'; });
        for (const char* part : {"\"name\":\"12\"", "\"size\":9007199254740992",
                                 "\"bytesFetched\":\"9007199254740993\"", "\"bytesReused\":0",
                                 "\"seconds\":0.5", "\"bakedAt\":\"1970-01-01T00:01:00Z\"",
                                 "\"size\":34", "\"digest\":\"34\"", "[\"56\"]"}) {
            CHECK_MESSAGE(json.find(part) != std::string::npos, part);
        }
    }
}

TEST_CASE("files of before, in which they are strings, are read") {
    v1::BakeRecord record;
    from_json(R"({"images": [{"bytesFetched": "5", "target": {"size": "7"}}]})", record, "old", "");
    CHECK(record.images(0).bytes_fetched() == 5);
    CHECK(record.images(0).target().size() == 7);
}

}  // namespace
}  // namespace prebake
