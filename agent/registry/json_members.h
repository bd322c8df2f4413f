#pragma once

#include <algorithm>
#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "agent/base/ascii.h"

/// Members of JSON objects that other programs write. A member of another type counts as missing.
/// Names match in any case, because Go's encoding/json reads them so; the exact one comes first.
namespace prebake::registry {

/// Null if it is missing.
inline const boost::json::value* member_at(const boost::json::object& object,
                                           std::string_view key) {
    if (const boost::json::value* const exact = object.if_contains(key)) return exact;
    const boost::json::value* last = nullptr;
    for (const auto& member : object) {
        const std::string_view name = member.key();
        if (std::ranges::equal(name, key, {}, to_lower, to_lower)) last = &member.value();
    }
    return last;
}

/// Empty if it is missing.
inline std::string text_at(const boost::json::object& object, std::string_view key) {
    const boost::json::value* const value = member_at(object, key);
    return value != nullptr && value->is_string()
               ? std::string(std::string_view(value->as_string()))
               : std::string();
}

/// Null if it is missing.
inline const boost::json::object* object_at(const boost::json::object& object,
                                            std::string_view key) {
    const boost::json::value* const value = member_at(object, key);
    return value == nullptr ? nullptr : value->if_object();
}

/// Empty if it is missing.
inline const boost::json::array& array_at(const boost::json::object& object, std::string_view key) {
    static const boost::json::array none;
    const boost::json::value* const value = member_at(object, key);
    return value == nullptr || !value->is_array() ? none : value->as_array();
}

}  // namespace prebake::registry
