#include "agent/kubelet/ecs_settings.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdint>
#include <utility>

#include "agent/base/format.h"
#include "agent/base/text.h"

namespace prebake::kubelet {
namespace {

constexpr std::string_view kJsonPathKey = "ECS_AGENT_CONFIG_FILE_PATH";
constexpr std::string_view kDefaultJsonPath = "/etc/ecs/ecs.config.json";
constexpr std::array<std::string_view, 4> kKeys{kEcsPullBehavior, kEcsExclusions,
                                                kEcsUntrackedCleanup, kEcsNoCleanup};
/// In the order of the agent's numbers for them in JSON.
constexpr std::array<std::string_view, 4> kBehaviors{"default", "always", "once", kEcsPreferCached};

EcsPullBehavior behavior_of(std::string_view value) {
    const auto found = std::find(kBehaviors.begin(), kBehaviors.end(), value);
    return found == kBehaviors.end() ? EcsPullBehavior::by_default
                                     : static_cast<EcsPullBehavior>(found - kBehaviors.begin());
}

/// As Go's strconv.ParseBool; nothing for other words.
std::optional<bool> go_bool(std::string_view value) {
    constexpr std::array<std::string_view, 6> kTrue{"1", "t", "T", "TRUE", "true", "True"};
    constexpr std::array<std::string_view, 6> kFalse{"0", "f", "F", "FALSE", "false", "False"};
    value = trimmed(value);
    if (std::find(kTrue.begin(), kTrue.end(), value) != kTrue.end()) return true;
    if (std::find(kFalse.begin(), kFalse.end(), value) != kFalse.end()) return false;
    return std::nullopt;
}

/// Without "export" and spaces.
std::string meant_key(std::string_view key) {
    constexpr std::string_view kExport = "export ";
    if (key.starts_with(kExport)) key.remove_prefix(kExport.size());
    return std::string(trimmed(key));
}

/// The last variable of that name in any of the files.
std::map<std::string, EcsVariable> variables_in(const std::vector<EcsFile>& files) {
    std::map<std::string, EcsVariable> found;
    for (const EcsFile& file : files) {
        for (EcsVariable& variable : parse_ecs_variables(file)) {
            std::string key = variable.key;
            found.insert_or_assign(std::move(key), std::move(variable));
        }
    }
    return found;
}

/// Go's encoding/json ignores the case of keys, and takes the last of several.
const boost::json::value* agent_member(const boost::json::object& document, std::string_view key) {
    const boost::json::value* found = nullptr;
    for (const auto& entry : document) {
        if (lower_case(entry.key()) == lower_case(key)) found = &entry.value();
    }
    return found != nullptr && found->is_null() ? nullptr : found;
}

/// What the agent's JSON document has, in the words of the variables.
class JsonSettings {
  public:
    JsonSettings(const EcsFile& file, std::vector<std::string>& warnings)
        : file_(file), warnings_(warnings) {
        boost::system::error_code error;
        if (trimmed(file.text).empty()) return;
        const boost::json::value whole = boost::json::parse(file.text, error);
        if (error || !whole.is_object()) {
            warnings.push_back(printable(file.path) +
                               " is not a JSON object: the ECS agent does not start");
            return;
        }
        document_ = whole.get_object();
    }

    std::optional<EcsVariable> pull_behavior() const {
        const boost::json::value* value = agent_member(document_, "ImagePullBehavior");
        if (value == nullptr) return std::nullopt;
        boost::system::error_code error;
        const auto number = value->to_number<std::int64_t>(error);
        if (error) return refuse("ImagePullBehavior", "a number");
        const bool is_known = number >= 0 && number < std::int64_t{kBehaviors.size()};
        return variable(kEcsPullBehavior,
                        is_known ? std::string(kBehaviors.at(static_cast<std::size_t>(number)))
                                 : std::to_string(number));
    }

    std::optional<EcsVariable> exclusions() const {
        const boost::json::value* value = agent_member(document_, "ImageCleanupExclusionList");
        if (value == nullptr) return std::nullopt;
        std::vector<std::string> names;
        if (!value->is_array()) return refuse("ImageCleanupExclusionList", "a list");
        for (const boost::json::value& entry : value->get_array()) {
            if (!entry.is_string()) return refuse("ImageCleanupExclusionList", "a list of texts");
            names.emplace_back(entry.get_string().c_str());
        }
        return variable(kEcsExclusions, joined(names, ","));
    }

    std::optional<EcsVariable> flag(std::string_view key, std::string_view member) const {
        const boost::json::value* value = agent_member(document_, member);
        if (value == nullptr) return std::nullopt;
        const std::optional<bool> read = go_bool(boost::json::serialize(*value));
        if (!read) return refuse(member, "true or false");
        return variable(key, *read ? "true" : "false");
    }

  private:
    EcsVariable variable(std::string_view key, std::string value) const {
        return {std::string(key), std::move(value), file_.path, 0};
    }
    std::nullopt_t refuse(std::string_view member, std::string_view what) const {
        warnings_.push_back(printable(file_.path) + ": " + std::string(member) + " is not " +
                            std::string(what) + ": the ECS agent does not start");
        return std::nullopt;
    }

    const EcsFile& file_;
    std::vector<std::string>& warnings_;
    boost::json::object document_;
};

/// JSON replaces what the variables leave at the agent's default.
void add_json(std::map<std::string, EcsVariable>& variables, const EcsFile& file,
              std::vector<std::string>& warnings) {
    const JsonSettings json(file, warnings);
    const auto add = [&](std::string_view key, std::optional<EcsVariable> setting,
                         const auto& is_default) {
        const auto found = variables.find(std::string(key));
        if (!setting || (found != variables.end() && !is_default(found->second.value))) return;
        variables.insert_or_assign(std::string(key), std::move(*setting));
    };
    const auto is_no_flag = [](const std::string& value) { return !go_bool(value); };
    add(kEcsPullBehavior, json.pull_behavior(),
        [](const std::string& value) { return behavior_of(value) == EcsPullBehavior::by_default; });
    add(kEcsExclusions, json.exclusions(), [](const std::string& value) { return value.empty(); });
    add(kEcsUntrackedCleanup, json.flag(kEcsUntrackedCleanup, "DeleteNonECSImagesEnabled"),
        is_no_flag);
    add(kEcsNoCleanup, json.flag(kEcsNoCleanup, "ImageCleanupDisabled"), is_no_flag);
}

}  // namespace

std::vector<EcsVariable> parse_ecs_variables(const EcsFile& file) {
    std::vector<EcsVariable> variables;
    std::size_t number = 0;
    for (const std::string_view whole : lines_of(file.text)) {
        ++number;
        const std::string_view line = trimmed(whole);
        const std::size_t equals = line.find('=');
        if (equals == std::string_view::npos) continue;
        variables.push_back({std::string(line.substr(0, equals)),
                             std::string(line.substr(equals + 1)), file.path, number});
    }
    return variables;
}

std::vector<std::string> split_ecs_list(std::string_view list) {
    std::vector<std::string> entries;
    while (!list.empty()) {
        const std::size_t comma = std::min(list.find(','), list.size());
        entries.emplace_back(list.substr(0, comma));
        list.remove_prefix(std::min(comma + 1, list.size()));
    }
    return entries;
}

std::string ecs_json_path(const std::vector<EcsFile>& variables) {
    const auto all = variables_in(variables);
    const auto found = all.find(std::string(kJsonPathKey));
    return found == all.end() ? std::string(kDefaultJsonPath) : found->second.value;
}

EcsSettings read_ecs_settings(const std::vector<EcsFile>& variables,
                              const std::optional<EcsFile>& json,
                              std::vector<std::string>& warnings) {
    std::map<std::string, EcsVariable> all = variables_in(variables);
    if (json) add_json(all, *json, warnings);
    EcsSettings settings;
    for (const auto& [key, variable] : all) {
        const std::string meant = meant_key(key);
        if (std::find(kKeys.begin(), kKeys.end(), meant) == kKeys.end()) continue;
        (key == meant ? settings.places : settings.misspelt).insert_or_assign(meant, variable);
    }
    const auto value_of = [&](std::string_view key) {
        const auto found = settings.places.find(key);
        return found == settings.places.end() ? std::string() : found->second.value;
    };
    settings.pull_behavior = behavior_of(value_of(kEcsPullBehavior));
    settings.exclusions = split_ecs_list(value_of(kEcsExclusions));
    settings.removes_untracked = go_bool(value_of(kEcsUntrackedCleanup)).value_or(false);
    settings.cleanup_is_disabled = go_bool(value_of(kEcsNoCleanup)).value_or(false);
    return settings;
}

}  // namespace prebake::kubelet
