#pragma once

#include <boost/json.hpp>
#include <string_view>

namespace prebake::registry {

/// A document of Kubernetes: JSON, or YAML as the JSON that it stands for. Scalars without quotes
/// that are not true, false or null are strings, also numbers.
/// @throws Error usage "LINE:COLUMN: reason", which does not quote the text; too_large if aliases
/// blow it up.
boost::json::value parse_json_or_yaml(std::string_view text);

}  // namespace prebake::registry
