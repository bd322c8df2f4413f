#include "agent/identity/firstboot/text_template.h"

#include "agent/base/error.h"

namespace prebake::identity::firstboot {
namespace {

constexpr const char* kKnown =
    "known are {hostname}, {short_hostname}, {instance_id}, {local_ipv4}, {region}, {zone}, "
    "{account}, {instance_type} and {tag:NAME}";

std::string value_of(std::string_view name, const machine::Metadata& metadata) {
    constexpr std::string_view kTag = "tag:";
    if (name == "hostname") return metadata.hostname;
    if (name == "short_hostname") return metadata.hostname.substr(0, metadata.hostname.find('.'));
    if (name == "instance_id") return metadata.instance.id();
    if (name == "local_ipv4") return metadata.local_ipv4;
    if (name == "region") return metadata.region;
    if (name == "zone") return metadata.zone;
    if (name == "account") return metadata.account;
    if (name == "instance_type") return metadata.instance_type;
    if (name.starts_with(kTag) && name.size() > kTag.size()) {
        const auto tag = metadata.tags.find(std::string(name.substr(kTag.size())));
        return tag == metadata.tags.end() ? std::string() : tag->second;
    }
    throw Error(Errc::usage, "unknown placeholder {" + std::string(name) + "} in a template",
                kKnown);
}

}  // namespace

ResolvedTemplate resolve_template(std::string_view text, const machine::Metadata& metadata) {
    ResolvedTemplate resolved;
    while (!text.empty()) {
        const std::size_t begin = text.find('{');
        resolved.text += text.substr(0, begin);
        if (begin == std::string_view::npos) break;
        const std::size_t end = text.find('}', begin);
        if (end == std::string_view::npos) {
            throw Error(Errc::usage, "a placeholder in the template \"" + std::string(text) +
                                         "\" is not closed by }");
        }
        const std::string_view name = text.substr(begin + 1, end - begin - 1);
        const std::string value = value_of(name, metadata);
        if (value.empty()) resolved.missing.emplace_back(text.substr(begin, end - begin + 1));
        resolved.text += value;
        text.remove_prefix(end + 1);
    }
    return resolved;
}

}  // namespace prebake::identity::firstboot
