#include "agent/registry/yaml.h"

#include <yaml-cpp/yaml.h>

#include <string>

#include "agent/base/error.h"

namespace prebake::registry {
namespace {

namespace json = boost::json;

/// An alias stands for a whole tree each time: few lines can mean billions of nodes.
constexpr int kMaxNodes = 100'000;
constexpr int kMaxDepth = 64;

json::value converted(const YAML::Node& node, int depth, int& nodes) {
    if (depth > kMaxDepth || ++nodes > kMaxNodes) {
        throw Error(Errc::too_large, "it has too many levels or aliases");
    }
    switch (node.Type()) {
        case YAML::NodeType::Undefined:
        case YAML::NodeType::Null:
            return nullptr;
        case YAML::NodeType::Scalar: {
            const std::string& text = node.Scalar();
            const bool is_quoted = node.Tag() == "!";
            if (!is_quoted && text == "true") return true;
            if (!is_quoted && text == "false") return false;
            return json::string(text);
        }
        case YAML::NodeType::Sequence: {
            json::array array;
            for (const YAML::Node& element : node) {
                array.push_back(converted(element, depth + 1, nodes));
            }
            return array;
        }
        case YAML::NodeType::Map: {
            json::object object;
            for (const auto& member : node) {
                if (!member.first.IsScalar()) {
                    throw Error(Errc::usage, "a key is no string");
                }
                object[member.first.Scalar()] = converted(member.second, depth + 1, nodes);
            }
            return object;
        }
    }
    return nullptr;
}

}  // namespace

json::value parse_json_or_yaml(std::string_view text) {
    boost::system::error_code no_json;
    json::value document = json::parse(text, no_json);
    if (!no_json) return document;
    try {
        int nodes = 0;
        return converted(YAML::Load(std::string(text)), 0, nodes);
    } catch (const YAML::ParserException& error) {
        throw Error(Errc::usage, std::to_string(error.mark.line + 1) + ":" +
                                     std::to_string(error.mark.column + 1) + ": it is no YAML");
    } catch (const YAML::Exception&) {
        throw Error(Errc::usage, "it is no YAML");
    }
}

}  // namespace prebake::registry
