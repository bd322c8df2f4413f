#include "agent/identity/firstboot/text_template.h"

#include <doctest/doctest.h>

#include "agent/base/text.h"
#include "tests/unit/base/thrown.h"

namespace prebake::identity::firstboot {
namespace {

using prebake::tests::contains;
using prebake::tests::thrown_by;

machine::Metadata metadata() {
    machine::Metadata known;
    known.instance.set_id("i-0123456789abcdef0");
    known.hostname = "node-1.example";
    known.local_ipv4 = "10.24.34.0";
    known.region = "eu-west-1";
    known.zone = "eu-west-1a";
    known.account = "123456789012";
    known.tags = {{"Name", "blue"}, {"aws:autoscaling:groupName", "g"}};
    return known;
}

struct Row {
    const char* text;
    const char* expected;
    const char* missing;
};

TEST_CASE("template: placeholders and what is missing") {
    const Row rows[] = {
        {"", "", ""},
        {"plain", "plain", ""},
        {"{hostname}", "node-1.example", ""},
        {"{short_hostname}.{region}", "node-1.eu-west-1", ""},
        {"{instance_id}-{zone}-{account}-{local_ipv4}",
         "i-0123456789abcdef0-eu-west-1a-123456789012-10.24.34.0", ""},
        {"{tag:Name}-{tag:aws:autoscaling:groupName}", "blue-g", ""},
        {"a{tag:Nme}b{instance_type}", "ab", "{tag:Nme}, {instance_type}"},
        {"a}b", "a}b", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        const ResolvedTemplate resolved = resolve_template(row.text, metadata());
        CHECK(resolved.text == row.expected);
        CHECK(joined(resolved.missing) == row.missing);
    }
}

TEST_CASE("template: values are not templates") {
    machine::Metadata known = metadata();
    known.tags["Name"] = "{hostname}";
    CHECK(resolve_template("{tag:Name}", known).text == "{hostname}");
}

TEST_CASE("template: an unknown placeholder is an error that names the known ones") {
    for (const char* const text :
         {"{}", "{host}", "{Hostname}", "{tag:}", "{ hostname}", "{{hostname}"}) {
        CAPTURE(text);
        const Error error = thrown_by([&] { resolve_template(text, metadata()); });
        CHECK(error.code() == Errc::usage);
        CHECK(contains(error.next_step(), "{short_hostname}"));
    }
    CHECK(thrown_by([&] { resolve_template("a{hostname", metadata()); }).code() == Errc::usage);
}

}  // namespace
}  // namespace prebake::identity::firstboot
