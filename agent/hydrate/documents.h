#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

/// Where the documents are. The plan is made on the builder and read on the node; progress is of a
/// boot, and what is finished of a volume outlives it.
std::filesystem::path plan_path(const std::filesystem::path& state_dir);
std::filesystem::path finished_path(const std::filesystem::path& state_dir);
std::filesystem::path progress_path(const std::filesystem::path& runtime_dir);

/// Limits of files: a hundred images of a fragmented disk need less than one MiB.
inline constexpr std::size_t kMaxPlanBytes = 16UL << 20;
inline constexpr std::size_t kMaxTraceBytes = 16UL << 20;
inline constexpr std::size_t kMaxProgressBytes = 1UL << 20;

/// Only the form: what it says about a volume is checked by resolve_volume() on the machine.
/// @throws Error corrupt, with `origin`; unsupported if a later version of prebake wrote it.
v1::HydrationPlan parse_plan(std::string_view text, const std::string& origin);

/// @throws Error not_found if there is no plan; too_large; otherwise as parse_plan().
v1::HydrationPlan read_plan(const std::filesystem::path& state_dir);

/// Atomic and durable. @throws Error too_large if read_plan() would refuse it; no_space,
/// permission_denied, io.
void write_plan(const std::filesystem::path& state_dir, const v1::HydrationPlan& plan);

/// @throws Error not_found; corrupt; too_large; unsupported.
v1::Hydration read_hydration(const std::filesystem::path& path);

/// Atomic and durable.
void write_hydration(const std::filesystem::path& path, const v1::Hydration& hydration);

}  // namespace prebake::hydrate
