// Whatever a metadata service answers, its parsers give a result or an Error; and what they believe
// has the form that its use requires.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/base/error.h"
#include "agent/machine/metadata.h"
#include "agent/machine/text_format.h"

namespace {

using prebake::Errc;
using prebake::Error;
using prebake::machine::Metadata;

void require(bool condition) {
    if (!condition) std::abort();
}

/// Only what goes unquoted into /etc/hosts, host names, certificates and environments.
void check(const Metadata& metadata) {
    require(!metadata.instance.id().empty());
    require(prebake::machine::is_word(metadata.instance.id(), 64, "-"));
    require(metadata.hostname.empty() || prebake::machine::is_dns_name(metadata.hostname));
    require(metadata.local_ipv4.empty() || prebake::machine::is_ipv4(metadata.local_ipv4));
    for (const auto& text : {metadata.account, metadata.region, metadata.zone,
                             metadata.instance_type, metadata.image_id}) {
        require(text.empty() || prebake::machine::is_word(text, 1024, "-._/:"));
    }
    for (const auto& tag : metadata.tags) require(prebake::machine::is_printable(tag.second, 256));
}

template <typename Parser>
void parse(const Parser& parser) {
    try {
        parser();
    } catch (const Error& error) {
        require(error.code() == Errc::corrupt);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    parse([&] { check(prebake::machine::parse_ec2_identity_document(text)); });
    parse([&] { check(prebake::machine::parse_gce_instance(text)); });
    parse([&] { check(prebake::machine::parse_azure_instance(text)); });
    parse([&] {
        require(prebake::machine::is_printable(prebake::machine::parse_token(text), 4096));
    });
    parse([&] {
        for (const auto& key : prebake::machine::parse_tag_keys(text)) {
            require(prebake::machine::is_word(key, 128, "+-=.,_:@"));
        }
    });
    return 0;
}
