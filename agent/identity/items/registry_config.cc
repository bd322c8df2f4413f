#include "agent/identity/items/registry_config.h"

#include <boost/json.hpp>
#include <vector>

namespace prebake::identity {
namespace {

/// An entry is empty if a credential helper or store has the credentials.
bool holds_credentials(const boost::json::value& entry) {
    if (!entry.is_object()) return true;
    for (const auto& member : entry.as_object()) {
        const boost::json::value& value = member.value();
        if (!value.is_string() || !value.as_string().empty()) return true;
    }
    return false;
}

bool erase_credentials(boost::json::object& config) {
    bool any = config.erase("HttpHeaders") != 0;
    boost::json::value* const auths = config.if_contains("auths");
    if (auths == nullptr) return any;
    if (auths->is_object()) {
        boost::json::object kept;
        for (const auto& entry : auths->as_object()) {
            if (!holds_credentials(entry.value())) kept.insert(entry);
        }
        any = any || kept.size() < auths->as_object().size();
        *auths = std::move(kept);
        if (!auths->as_object().empty()) return any;
    } else {
        any = true;
    }
    config.erase("auths");
    return any;
}

}  // namespace

RegistryConfig without_credentials(std::string_view json) {
    using Verdict = RegistryConfig::Verdict;
    if (json.find_first_not_of(" \t\r\n") == std::string_view::npos) return {Verdict::stays};
    boost::system::error_code error;
    boost::json::value config = boost::json::parse({json.data(), json.size()}, error);
    if (error || !config.is_object()) return {Verdict::removed};
    if (!erase_credentials(config.as_object())) return {Verdict::stays};
    if (config.as_object().empty()) return {Verdict::removed};
    return {Verdict::rewritten, boost::json::serialize(config) + "\n"};
}

}  // namespace prebake::identity
