#include "agent/base/json.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "agent/base/error.h"
#include "agent/base/json_numbers.h"

namespace prebake {

std::string to_json(const google::protobuf::Message& message, JsonForm form) {
    google::protobuf::util::JsonPrintOptions options;
    options.add_whitespace = form == JsonForm::indented;
    options.always_print_primitive_fields = true;
    std::string json;
    const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
    if (!status.ok()) {
        throw Error(Errc::internal,
                    "cannot write " + message.GetTypeName() + " as JSON: " + status.ToString());
    }
    return with_plain_numbers(json, *message.GetDescriptor());
}

void from_json(std::string_view json, google::protobuf::Message& message, const std::string& origin,
               const std::string& next_step) {
    google::protobuf::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    const auto status = google::protobuf::util::JsonStringToMessage(
        google::protobuf::StringPiece(json.data(), json.size()), &message, options);
    if (!status.ok()) {
        // protobuf's message has several lines: the others show the place in the text.
        std::string reason(status.message());
        reason.resize(std::min(reason.size(), reason.find('\n')));
        if (reason.ends_with('.')) reason.pop_back();  // it may be the middle of a sentence
        throw Error(Errc::corrupt, origin + " is not a " + message.GetTypeName() + ": " + reason,
                    next_step);
    }
}

std::string schema_in(std::string_view json) {
    google::protobuf::Struct document;
    const auto status = google::protobuf::util::JsonStringToMessage(
        google::protobuf::StringPiece(json.data(), json.size()), &document);
    if (!status.ok()) return {};
    const auto schema = document.fields().find("schema");
    return schema == document.fields().end() ? std::string() : schema->second.string_value();
}

void refuse_later_schema(std::string_view schema, const std::string& origin,
                         const std::string& next_step) {
    constexpr std::string_view kFamily = "prebake.v";
    constexpr std::size_t kMostShown = 64;
    if (!schema.starts_with(kFamily)) return;
    std::string_view version = schema.substr(kFamily.size());
    version = version.substr(0, version.find('.'));
    const bool is_number =
        !version.empty() && version.find_first_not_of("0123456789") == std::string_view::npos;
    if (!is_number || version == "0" || version == "1") return;
    throw Error(Errc::unsupported,
                origin + " was written by a later version of prebake: its schema is " +
                    std::string(schema.substr(0, kMostShown)),
                next_step);
}

void require_schema(std::string_view schema, std::string_view wanted, const std::string& origin,
                    std::string_view is_not, const std::string& next_step) {
    refuse_later_schema(schema, origin, next_step);
    if (schema == wanted) return;
    throw Error(Errc::corrupt,
                origin + " " + std::string(is_not) + ": its schema is \"" + std::string(schema) +
                    "\", not " + std::string(wanted),
                next_step);
}

}  // namespace prebake
