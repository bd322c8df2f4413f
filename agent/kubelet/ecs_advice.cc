#include "agent/kubelet/ecs_advice.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/text.h"
#include "agent/kubelet/comment.h"

namespace prebake::kubelet {
namespace {

/// MAX_ARG_STRLEN of Linux without the zero byte: with a longer variable neither ecs-init nor the
/// agent can be started.
constexpr std::size_t kMaxVariableBytes = 128 * 1024 - 1;

// Comments of ecs.config have no "=": ecs-init would pass the line to the agent as a variable.
constexpr const char* kBlockComment =
    "For the images that prebake baked for Docker. The agent takes values as they are written: no "
    "quotes and no spaces. User data has to append to this file; what replaces it, such as echo "
    "with a single > in place of >>, removes these settings.";
constexpr const char* kWhyPreferCached =
    "Tasks use a baked image without the registry. With any other value the agent pulls: default "
    "and always ask the registry for every task; once pulls, too, because it counts only the pulls "
    "of this agent and not what is on the disk. Consequences: the agent never searches for a newer "
    "image under the same tag, so give every version a tag of its own. It also removes no image, "
    "neither after tasks nor if the disk is full: tasks with other images fill the disk, so "
    "replace the instances in time or remove images yourself. And a task fails with "
    "CannotPullImageManifestError if Docker has the image only because of docker tag, from the "
    "name of another repository: bake every name by itself (aliases do that).";
constexpr const char* kWhyExclusions =
    "Without effect as long as the agent prefers cached images. Otherwise it removes images that "
    "no task uses, except these. It compares text: for an image that a task has used, what the "
    "task definition has, to which ECS adds the digest for tasks of a service; for any other "
    "image (ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP, which removes baked images at once, because their "
    "age counts from their build) the short name that Docker lists. So each image is here in each "
    "of its spellings, by tag and by digest. If your task definitions write one differently, add "
    "it.";

std::size_t variable_bytes(std::string_view key, std::string_view value) {
    return key.size() + 1 + value.size();
}

void require_bounded(std::string_view key, std::string_view value) {
    const std::size_t bytes = variable_bytes(key, value);
    if (bytes <= kMaxVariableBytes) return;
    throw Error(Errc::too_large,
                std::string(key) + " would have " + std::to_string(bytes) +
                    " bytes, and a variable can have at most " + std::to_string(kMaxVariableBytes),
                "remove the names of images that are no longer baked from it");
}

std::string without_quotes(std::string_view value) {
    value = trimmed(value);
    const bool is_quoted = value.size() > 1 && value.front() == value.back() &&
                           (value.front() == '"' || value.front() == '\'');
    return std::string(is_quoted ? value.substr(1, value.size() - 2) : value);
}

enum class Digests { with, without };

std::string exclusions_for(const std::vector<EcsImage>& images, Digests digests) {
    std::vector<std::string> names;
    std::set<std::string> known;
    const auto add = [&](const std::vector<std::string>& more) {
        for (const std::string& name : more) {
            if (known.insert(name).second) names.push_back(name);
        }
    };
    for (const EcsImage& image : images) {
        add(image.by_tag);
        if (digests == Digests::with) add(image.by_digest);
    }
    return joined(names, ",");
}

void add_ecs_setting(v1::EcsAdvice& advice, std::string_view key, std::string value,
                     const char* why) {
    v1::EcsSetting& setting = *advice.add_settings();
    setting.set_key(std::string(key));
    setting.set_value(std::move(value));
    setting.set_why(why);
}

std::string assignment(const v1::EcsSetting& setting) {
    return setting.key() + "=" + setting.value();
}

/// The list with the entries that it lacks. Entries that could match nothing, because they have
/// quotes or spaces, get what was meant.
std::string extended_list(std::string_view list, const std::string& wanted, std::size_t& added) {
    std::vector<std::string> entries;
    std::set<std::string> known;
    for (const std::string& entry : split_ecs_list(without_quotes(list))) {
        std::string name(trimmed(entry));
        if (!name.empty() && known.insert(name).second) entries.push_back(std::move(name));
    }
    added = 0;
    for (std::string& name : split_ecs_list(wanted)) {
        if (!known.insert(name).second) continue;
        entries.push_back(std::move(name));
        ++added;
    }
    return joined(entries, ",");
}

/// What `variable` becomes; nothing if it is right.
std::optional<std::string> corrected(const EcsVariable& variable, const v1::EcsSetting& setting,
                                     std::vector<std::string>& changes) {
    const std::string where = "line " + std::to_string(variable.line) + ": " + setting.key();
    if (setting.key() != kEcsExclusions) {
        if (variable.value == setting.value()) return std::nullopt;
        changes.push_back(printable(where + " is " + setting.value() + " now, and was " +
                                    (variable.value.empty() ? "empty" : variable.value)));
        return setting.value();
    }
    std::size_t added = 0;
    std::string list = extended_list(variable.value, setting.value(), added);
    if (list == variable.value) return std::nullopt;
    require_bounded(setting.key(), list);
    changes.push_back(where + (added > 0 ? " has " + counted(added, "more name")
                                         : " is written as the agent reads it"));
    return list;
}

}  // namespace

v1::EcsAdvice advise_ecs(const std::vector<EcsImage>& images) {
    if (images.empty()) {
        throw Error(Errc::failed_precondition,
                    "none of the baked images is in Docker's store (namespace moby), which the ECS "
                    "agent uses",
                    "bake them for Docker: prebake bake -n moby, or namespaces = [\"moby\"] in the "
                    "image list");
    }
    v1::EcsAdvice advice;
    advice.set_schema("prebake.v1.EcsAdvice");
    advice.set_images(static_cast<std::uint32_t>(images.size()));
    add_ecs_setting(advice, kEcsPullBehavior, std::string(kEcsPreferCached), kWhyPreferCached);
    std::string names = exclusions_for(images, Digests::with);
    if (variable_bytes(kEcsExclusions, names) > kMaxVariableBytes) {
        names = exclusions_for(images, Digests::without);
        advice.add_warnings(std::string(kEcsExclusions) +
                            " has no names by digest, because there are too many names for a "
                            "variable: do not rely on it for tasks of services");
    }
    require_bounded(kEcsExclusions, names);
    add_ecs_setting(advice, kEcsExclusions, std::move(names), kWhyExclusions);
    return advice;
}

std::string to_variables(const v1::EcsAdvice& advice) {
    std::string text = comment_of(kBlockComment);
    for (const v1::EcsSetting& setting : advice.settings()) {
        text += "\n" + comment_of(setting.why()) + assignment(setting) + "\n";
    }
    return text;
}

MergedEcsConfig merge_ecs_config(const std::string& text, const v1::EcsAdvice& advice) {
    std::vector<std::string> lines;
    for (const std::string_view line : lines_of(text)) lines.emplace_back(line);
    const std::vector<EcsVariable> variables = parse_ecs_variables({.path = {}, .text = text});
    MergedEcsConfig merged{.text = {}, .changes = {}};
    v1::EcsAdvice missing;
    for (const v1::EcsSetting& setting : advice.settings()) {
        // The last one is what counts.
        const auto found =
            std::find_if(variables.rbegin(), variables.rend(),
                         [&](const EcsVariable& other) { return other.key == setting.key(); });
        if (found == variables.rend()) {
            *missing.add_settings() = setting;
            merged.changes.push_back(setting.key() + " was added");
        } else if (const auto value = corrected(*found, setting, merged.changes)) {
            // A list becomes longer with each bake, so its comment would be repeated.
            const bool is_new_value = setting.key() != kEcsExclusions;
            lines.at(found->line - 1) =
                (is_new_value ? comment_of(setting.why()) : "") + setting.key() + "=" + *value;
        }
    }
    if (merged.changes.empty()) {
        merged.text = text;
        return merged;
    }
    for (const std::string& line : lines) merged.text += line + "\n";
    if (missing.settings_size() > 0) {
        merged.text += (lines.empty() ? "" : "\n") + to_variables(missing);
    }
    return merged;
}

}  // namespace prebake::kubelet
