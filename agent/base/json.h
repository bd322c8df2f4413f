#pragma once

#include <string>
#include <string_view>

namespace google::protobuf {
class Message;
}

namespace prebake {

enum class JsonForm { line, indented };

/// The JSON form of proto3, fields with default values included. Numbers up to 2^53 are numbers,
/// and larger ones strings; from_json() reads both.
std::string to_json(const google::protobuf::Message& message, JsonForm form);

/// Fields of a later version of prebake are ignored.
/// @throws Error corrupt, naming `origin`, with that next step.
void from_json(std::string_view json, google::protobuf::Message& message, const std::string& origin,
               const std::string& next_step);

/// The "schema" of a document; empty if there is none. Parses the whole document: for documents
/// that from_json() refuses, or whose schema must be known before.
std::string schema_in(std::string_view json);

/// @throws Error unsupported if `schema` is from a later version of prebake ("prebake.v2.Claim",
/// "prebake.v10.Ownership"), whose fields may have other types.
void refuse_later_schema(std::string_view schema, const std::string& origin,
                         const std::string& next_step);

/// The same, and @throws Error corrupt if the schema is not `wanted`: "ORIGIN is not a trace: its
/// schema is ...", where `is_not` is "is not a trace".
void require_schema(std::string_view schema, std::string_view wanted, const std::string& origin,
                    std::string_view is_not, const std::string& next_step);

}  // namespace prebake
