#include <boost/json.hpp>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/machine/metadata.h"
#include "agent/machine/text_format.h"

namespace prebake::machine {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxTokenBytes = 4096;
constexpr std::size_t kMaxTags = 256;  // EC2 and Azure allow 50
constexpr std::size_t kMaxTagKeyBytes = 512;
constexpr std::size_t kMaxTagValueBytes = 256;

[[noreturn]] void throw_corrupt(std::string_view what, std::string_view why) {
    throw Error(Errc::corrupt, std::string(what) + " " + std::string(why));
}

json::object parse_object(std::string_view what, std::string_view body) {
    if (body.size() > kMaxMetadataBytes) throw_corrupt(what, "is too large");
    json::error_code failure;
    json::value document = json::parse({body.data(), body.size()}, failure);
    if (failure) throw_corrupt(what, "is not JSON");
    if (!document.is_object()) throw_corrupt(what, "is not a JSON object");
    return std::move(document.get_object());
}

const json::object* object_at(const json::object* object, std::string_view name) {
    const json::value* value =
        object == nullptr ? nullptr : object->if_contains({name.data(), name.size()});
    return value == nullptr ? nullptr : value->if_object();
}

const json::array* array_at(const json::object* object, std::string_view name) {
    const json::value* value =
        object == nullptr ? nullptr : object->if_contains({name.data(), name.size()});
    return value == nullptr ? nullptr : value->if_array();
}

const json::object* first_object_at(const json::object* object, std::string_view name) {
    const json::array* array = array_at(object, name);
    return array == nullptr || array->empty() ? nullptr : array->front().if_object();
}

/// Empty if it is missing or not a string.
std::string text_at(const json::object* object, std::string_view name) {
    const json::value* value =
        object == nullptr ? nullptr : object->if_contains({name.data(), name.size()});
    if (value == nullptr || !value->is_string()) return {};
    return std::string(value->get_string());
}

/// The digits of a positive integer or of a string of digits. Empty if it is neither.
std::string number_at(const json::object& object, std::string_view name) {
    const json::value* value = object.if_contains({name.data(), name.size()});
    if (value == nullptr) return {};
    if (value->is_uint64()) return std::to_string(value->get_uint64());
    if (value->is_int64() && value->get_int64() >= 0) return std::to_string(value->get_int64());
    const std::string text = text_at(&object, name);
    return is_number(text, 20) ? text : std::string();
}

template <typename Form>
std::string if_well_formed(std::string text, Form form) {
    return form(text) ? text : std::string();
}

bool is_place(std::string_view text) {
    return is_word(text, 64, "-");
}

bool is_type(std::string_view text) {
    return is_word(text, 128, "-._");
}

bool is_image(std::string_view text) {
    return is_word(text, 1024, "-._/:");
}

std::string_view after_last_slash(std::string_view path) {
    return path.substr(path.rfind('/') + 1);  // npos + 1 is 0: the whole text
}

/// "projects/123456/zones/europe-west1-b" -> "123456"
std::string project_in(std::string_view path) {
    constexpr std::string_view kProjects = "projects/";
    if (!path.starts_with(kProjects)) return {};
    path.remove_prefix(kProjects.size());
    return if_well_formed(std::string(path.substr(0, path.find('/'))), is_type);
}

bool is_tag_key(std::string_view key) {
    return is_word(key, 128, "+-=.,_:@") && key != "." && key != ".." && key != "_index";
}

std::map<std::string, std::string> azure_tags(const json::object* compute) {
    std::map<std::string, std::string> tags;
    const json::array* list = array_at(compute, "tagsList");
    if (list == nullptr) return tags;
    for (const json::value& entry : *list) {
        if (tags.size() == kMaxTags) break;
        std::string name = text_at(entry.if_object(), "name");
        std::string value = text_at(entry.if_object(), "value");
        if (is_printable(name, kMaxTagKeyBytes) && is_printable(value, kMaxTagValueBytes)) {
            tags.emplace(std::move(name), std::move(value));
        }
    }
    return tags;
}

v1::Instance instance_of(const char* platform, std::string id) {
    v1::Instance instance;
    instance.set_platform(platform);
    instance.set_id(std::move(id));
    instance.set_source("metadata");
    return instance;
}

}  // namespace

Metadata parse_ec2_identity_document(std::string_view body) {
    constexpr std::string_view kWhat = "the EC2 instance identity document";
    const json::object document = parse_object(kWhat, body);
    std::string id = text_at(&document, "instanceId");
    if (!is_ec2_instance_id(id)) throw_corrupt(kWhat, "has no valid instanceId");
    Metadata metadata;
    metadata.instance = instance_of("ec2", std::move(id));
    metadata.account = if_well_formed(text_at(&document, "accountId"),
                                      [](std::string_view text) { return is_number(text, 20); });
    metadata.region = if_well_formed(text_at(&document, "region"), is_place);
    metadata.zone = if_well_formed(text_at(&document, "availabilityZone"), is_place);
    metadata.instance_type = if_well_formed(text_at(&document, "instanceType"), is_type);
    metadata.image_id = if_well_formed(text_at(&document, "imageId"), is_type);
    metadata.local_ipv4 = if_well_formed(text_at(&document, "privateIp"), is_ipv4);
    return metadata;
}

Metadata parse_gce_instance(std::string_view body) {
    constexpr std::string_view kWhat = "the GCE instance metadata";
    const json::object document = parse_object(kWhat, body);
    std::string id = number_at(document, "id");
    if (id.empty() || id == "0") throw_corrupt(kWhat, "has no valid id");
    Metadata metadata;
    metadata.instance = instance_of("gce", std::move(id));
    const std::string zone = text_at(&document, "zone");
    metadata.account = project_in(zone);
    metadata.zone = if_well_formed(std::string(after_last_slash(zone)), is_place);
    // A zone is a region and a letter: "europe-west1-b".
    const std::size_t hyphen = metadata.zone.rfind('-');
    if (hyphen != std::string::npos) metadata.region = metadata.zone.substr(0, hyphen);
    metadata.instance_type =
        if_well_formed(std::string(after_last_slash(text_at(&document, "machineType"))), is_type);
    metadata.image_id = if_well_formed(text_at(&document, "image"), is_image);
    metadata.hostname = if_well_formed(text_at(&document, "hostname"), is_dns_name);
    metadata.local_ipv4 =
        if_well_formed(text_at(first_object_at(&document, "networkInterfaces"), "ip"), is_ipv4);
    return metadata;
}

Metadata parse_azure_instance(std::string_view body) {
    constexpr std::string_view kWhat = "the Azure instance metadata";
    const json::object document = parse_object(kWhat, body);
    const json::object* compute = object_at(&document, "compute");
    std::string id = lower_case(text_at(compute, "vmId"));
    if (!is_uuid(id)) throw_corrupt(kWhat, "has no valid vmId");
    Metadata metadata;
    metadata.instance = instance_of("azure", std::move(id));
    metadata.account = if_well_formed(text_at(compute, "subscriptionId"), is_type);
    metadata.region = if_well_formed(text_at(compute, "location"), is_place);
    metadata.zone = if_well_formed(text_at(compute, "zone"), is_place);
    metadata.instance_type = if_well_formed(text_at(compute, "vmSize"), is_type);
    metadata.image_id = if_well_formed(
        text_at(object_at(object_at(compute, "storageProfile"), "imageReference"), "id"), is_image);
    metadata.hostname =
        if_well_formed(text_at(object_at(compute, "osProfile"), "computerName"), is_dns_name);
    if (metadata.hostname.empty()) {
        metadata.hostname = if_well_formed(text_at(compute, "name"), is_dns_name);
    }
    const json::object* interface = first_object_at(object_at(&document, "network"), "interface");
    metadata.local_ipv4 = if_well_formed(
        text_at(first_object_at(object_at(interface, "ipv4"), "ipAddress"), "privateIpAddress"),
        is_ipv4);
    metadata.tags = azure_tags(compute);
    return metadata;
}

std::string parse_token(std::string_view body) {
    if (body.ends_with('\n')) body.remove_suffix(1);
    // A space or a line break in it could inject a header.
    if (!is_printable(body, kMaxTokenBytes) || body.find(' ') != std::string_view::npos) {
        throw_corrupt("the session token of the metadata service", "is not one printable word");
    }
    return std::string(body);
}

std::vector<std::string> parse_tag_keys(std::string_view body) {
    constexpr std::string_view kWhat = "the list of instance tags";
    if (body.size() > kMaxMetadataBytes) throw_corrupt(kWhat, "is too large");
    std::vector<std::string> keys;
    while (!body.empty()) {
        const std::size_t end = body.find('\n');
        const std::string_view line = body.substr(0, end);
        body.remove_prefix(end == std::string_view::npos ? body.size() : end + 1);
        if (line.empty()) continue;
        if (!is_tag_key(line)) throw_corrupt(kWhat, "holds what cannot be a tag key");
        if (keys.size() == kMaxTags) throw_corrupt(kWhat, "is too long");
        keys.emplace_back(line);
    }
    return keys;
}

}  // namespace prebake::machine
