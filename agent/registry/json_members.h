#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

/// Members of JSON objects that other programs write. A member of another type counts as missing.
namespace prebake::registry {

/// Empty if it is missing.
inline std::string text_at(const boost::json::object& object, std::string_view key) {
    const boost::json::value* const value = object.if_contains(key);
    return value != nullptr && value->is_string()
               ? std::string(std::string_view(value->as_string()))
               : std::string();
}

/// Null if it is missing.
inline const boost::json::object* object_at(const boost::json::object& object,
                                            std::string_view key) {
    const boost::json::value* const value = object.if_contains(key);
    return value == nullptr ? nullptr : value->if_object();
}

/// Empty if it is missing.
inline const boost::json::array& array_at(const boost::json::object& object, std::string_view key) {
    static const boost::json::array none;
    const boost::json::value* const value = object.if_contains(key);
    return value == nullptr || !value->is_array() ? none : value->as_array();
}

}  // namespace prebake::registry
