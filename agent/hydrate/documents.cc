#include "agent/hydrate/documents.h"

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/json.h"

namespace prebake::hydrate {
namespace {

constexpr const char* kPlanSchema = "prebake.v1.HydrationPlan";
constexpr const char* kHydrationSchema = "prebake.v1.Hydration";
constexpr const char* kMakeAnother = "bake again, which makes a new plan";
constexpr const char* kHydrateAgain = "remove it: prebake-hydrate.service writes a new one";

template <typename Message>
Message parse(std::string_view text, const char* schema, const std::string& origin,
              const std::string& next_step) {
    Message message;
    from_json(text, message, origin, next_step);
    require_schema(message.schema(), schema, origin, "is something else", next_step);
    return message;
}

}  // namespace

std::filesystem::path plan_path(const std::filesystem::path& state_dir) {
    return state_dir / "hydration-plan.json";
}

std::filesystem::path finished_path(const std::filesystem::path& state_dir) {
    return state_dir / "hydration.json";
}

std::filesystem::path progress_path(const std::filesystem::path& runtime_dir) {
    return runtime_dir / "hydration.json";
}

v1::HydrationPlan parse_plan(std::string_view text, const std::string& origin) {
    return parse<v1::HydrationPlan>(text, kPlanSchema, origin, kMakeAnother);
}

v1::HydrationPlan read_plan(const std::filesystem::path& state_dir) {
    const std::filesystem::path path = plan_path(state_dir);
    return parse_plan(read_file(path, kMaxPlanBytes), path.string());
}

void write_plan(const std::filesystem::path& state_dir, const v1::HydrationPlan& plan) {
    v1::HydrationPlan written = plan;
    written.set_schema(kPlanSchema);
    const std::string text = to_json(written, JsonForm::line);
    if (text.size() > kMaxPlanBytes) {
        throw Error(Errc::too_large,
                    "the hydration plan has " + std::to_string(text.size()) + " bytes, more than " +
                        std::to_string(kMaxPlanBytes),
                    "bake fewer images, or onto a disk that is less fragmented");
    }
    write_file_durably(plan_path(state_dir), text, 0644);
}

v1::Hydration read_hydration(const std::filesystem::path& path) {
    return parse<v1::Hydration>(read_file(path, kMaxProgressBytes), kHydrationSchema, path.string(),
                                kHydrateAgain);
}

void write_hydration(const std::filesystem::path& path, const v1::Hydration& hydration) {
    v1::Hydration written = hydration;
    written.set_schema(kHydrationSchema);
    write_file_durably(path, to_json(written, JsonForm::line), 0644);
}

}  // namespace prebake::hydrate
