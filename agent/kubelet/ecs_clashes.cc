#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/format.h"
#include "agent/base/text.h"
#include "agent/kubelet/ecs_advice.h"

namespace prebake::kubelet {
namespace {

/// A message names this many images; the document has all.
constexpr std::size_t kNamedImages = 5;
constexpr const char* kWriteAndRestart =
    "run prebake ecs-config --write, then restart the agent (systemctl restart ecs)";

v1::EcsClash clash_at(const EcsSettings& settings, const std::string& file, std::string_view key) {
    v1::EcsClash clash;
    clash.set_key(std::string(key));
    clash.set_file(printable(file));
    if (const auto place = settings.places.find(key); place != settings.places.end()) {
        clash.set_file(printable(place->second.file));
        clash.set_line(static_cast<std::uint32_t>(place->second.line));
        clash.set_value(printable(place->second.value));
    } else if (const auto line = settings.misspelt.find(key); line != settings.misspelt.end()) {
        clash.set_file(printable(line->second.file));
        clash.set_line(static_cast<std::uint32_t>(line->second.line));
    }
    clash.set_next_step(kWriteAndRestart);
    return clash;
}

constexpr const char* kAsksForEachTask =
    "the agent asks the registry about baked images for every task and pulls them, and uses what "
    "is on the disk only if that fails";

/// What a shell or systemd would remove from the value.
std::string what_belongs_to(std::string_view value) {
    if (value.front() == '"' || value.front() == '\'') return " (the quotes belong to it)";
    return trimmed(value) == value ? "" : " (the spaces belong to it)";
}

/// Why the agent has the default behavior.
std::string reason_of_default(const EcsSettings& settings, const v1::EcsClash& clash) {
    const std::string key(kEcsPullBehavior);
    if (clash.value() == "default") return key + " is default";
    if (!clash.value().empty()) {
        return key + " is " + clash.value() + ", which the agent does not know" +
               what_belongs_to(clash.value());
    }
    if (settings.places.contains(kEcsPullBehavior)) return key + " is empty";
    const auto line = settings.misspelt.find(kEcsPullBehavior);
    if (line == settings.misspelt.end()) return key + " is not set";
    return key + " is not set, because the agent reads the name of this variable as \"" +
           printable(line->second.key) + "\"";
}

v1::EcsClash pull_clash(const EcsSettings& settings, const std::string& file) {
    v1::EcsClash clash = clash_at(settings, file, kEcsPullBehavior);
    switch (settings.pull_behavior) {
        case EcsPullBehavior::always:
            clash.set_cause("always");
            clash.set_message(clash.key() +
                              " is always: every task pulls its images from the registry, and "
                              "fails if the registry does not answer");
            break;
        case EcsPullBehavior::once:
            clash.set_cause("once");
            clash.set_message(clash.key() +
                              " is once: the agent pulls every baked image one time, because it "
                              "counts only its own pulls");
            break;
        case EcsPullBehavior::by_default:
        case EcsPullBehavior::prefer_cached:
            clash.set_cause(clash.value().empty() || clash.value() == "default" ? "default"
                                                                                : "not_read");
            clash.set_message(reason_of_default(settings, clash) + ": " + kAsksForEachTask);
            break;
    }
    return clash;
}

bool has_any(const std::vector<std::string>& list, const std::vector<std::string>& names) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        return std::find(list.begin(), list.end(), name) != list.end();
    });
}

void name_images(v1::EcsClash& clash, const std::vector<const EcsImage*>& images) {
    std::vector<std::string> named;
    for (const EcsImage* image : images) {
        clash.add_images(image->name);
        if (named.size() < kNamedImages) named.push_back(image->name);
    }
    std::string message = clash.message() + joined(named);
    if (images.size() > named.size()) {
        message += " and " + std::to_string(images.size() - named.size()) + " more";
    }
    clash.set_message(std::move(message));
}

}  // namespace

std::vector<v1::EcsClash> find_ecs_clashes(const std::vector<EcsImage>& images,
                                           const EcsSettings& settings, const std::string& file) {
    std::vector<v1::EcsClash> clashes;
    if (settings.pull_behavior == EcsPullBehavior::prefer_cached) return clashes;
    clashes.push_back(pull_clash(settings, file));
    if (settings.cleanup_is_disabled) return clashes;
    std::vector<const EcsImage*> after_use;
    std::vector<const EcsImage*> unused;
    for (const EcsImage& image : images) {
        // Which spelling tasks use is not known here: one that is listed was meant to be enough.
        if (!has_any(settings.exclusions, image.by_tag) &&
            !has_any(settings.exclusions, image.by_digest)) {
            after_use.push_back(&image);
        }
        if (settings.removes_untracked && !has_any(settings.exclusions, image.listed)) {
            unused.push_back(&image);
        }
    }
    if (!after_use.empty()) {
        v1::EcsClash& clash = clashes.emplace_back(clash_at(settings, file, kEcsExclusions));
        clash.set_cause("removed_unused");
        clash.set_message(clash.key() +
                          " does not name these baked images, and the agent removes them when no "
                          "task uses them any more: ");
        name_images(clash, after_use);
    }
    if (!unused.empty()) {
        v1::EcsClash& clash = clashes.emplace_back(clash_at(settings, file, kEcsUntrackedCleanup));
        clash.set_cause("removed_untracked");
        clash.set_message(clash.key() + " is " + clash.value() + ", and " +
                          std::string(kEcsExclusions) +
                          " does not name these baked images: the agent removes them before a task "
                          "has used them: ");
        name_images(clash, unused);
    }
    return clashes;
}

std::vector<std::string> ecs_settings_without_effect(const EcsSettings& settings) {
    std::vector<std::string> notes;
    if (settings.pull_behavior != EcsPullBehavior::prefer_cached) return notes;
    if (!settings.removes_untracked) return notes;
    const EcsVariable& place = settings.places.find(kEcsUntrackedCleanup)->second;
    notes.push_back(printable(place.file) +
                    (place.line > 0 ? ":" + std::to_string(place.line) : "") + ": " + place.key +
                    " has no effect: with prefer-cached the agent removes no image, so the disk "
                    "can fill up");
    return notes;
}

}  // namespace prebake::kubelet
