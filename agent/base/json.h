#pragma once

#include <string>
#include <string_view>

namespace google::protobuf {
class Message;
}

namespace prebake {

enum class JsonForm { line, indented };

/// The JSON form of proto3, fields with default values included.
std::string to_json(const google::protobuf::Message& message, JsonForm form);

/// Fields of a later version of prebake are ignored.
/// @throws Error corrupt, naming `origin`, with that next step.
void from_json(std::string_view json, google::protobuf::Message& message, const std::string& origin,
               const std::string& next_step);

/// What a document says it is, its "schema"; empty if that cannot be made out. Reads the whole
/// document as a tree: for those that from_json() refuses, or that must be known before.
std::string schema_in(std::string_view json);

/// @throws Error unsupported if `schema` is one of a later version of ours ("prebake.v2.Claim",
/// "prebake.v10.Ownership"): another version's fields need not be of our types.
void refuse_later_schema(std::string_view schema, const std::string& origin,
                         const std::string& next_step);

}  // namespace prebake
