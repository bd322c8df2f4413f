#pragma once

#include <cstdint>

#include "proto/prebake/v1/hydration.pb.h"
#include "proto/prebake/v1/node.pb.h"

/// What prebake-hydrate.service writes, for tests.
namespace prebake::report::hydrated_samples {

inline constexpr std::uint64_t kMiB = 1ULL << 20;

inline void add_rank(v1::Hydration& progress, v1::HydrationRank rank, std::uint64_t bytes,
                     std::uint64_t total, double seconds) {
    v1::HydratedRank& added = *progress.add_ranks();
    added.set_rank(rank);
    added.set_bytes(bytes);
    added.set_total_bytes(total);
    added.set_seconds(seconds);
}

/// A disk that was found cold.
inline void add_cold_volume(v1::Hydration& progress) {
    v1::HydratedVolume& volume = *progress.add_volumes();
    volume.set_lazy(true);
    volume.set_depth_1_bytes_per_second(6.0 * kMiB);
    volume.set_peak_bytes_per_second(140.0 * kMiB);
    volume.set_peak_depth(32);
    volume.set_cold_reads(700);
    volume.set_throttled_microseconds(2'500'000);
}

/// 630 of 1,000 MiB.
inline v1::Hydration hydrating() {
    v1::Hydration progress;
    progress.set_schema("prebake.v1.Hydration");
    progress.set_state("hydrating");
    progress.set_seconds(5);
    progress.set_bytes_per_second(131.0 * kMiB);
    progress.set_eta_seconds(18);
    progress.set_depth(24);
    add_rank(progress, v1::METADATA, 10 * kMiB, 10 * kMiB, 0.2);
    add_rank(progress, v1::TRACED, 300 * kMiB, 300 * kMiB, 2.2);
    add_rank(progress, v1::IMAGES, 320 * kMiB, 690 * kMiB, 0);
    add_cold_volume(progress);
    return progress;
}

inline void add_rank_of_later_version(v1::NodeHydration& hydration) {
    hydration.add_ranks()->set_rank(static_cast<v1::HydrationRank>(99));
}

inline v1::Hydration hydrated() {
    v1::Hydration progress = hydrating();
    progress.set_state("hydrated");
    progress.set_seconds(96);
    progress.set_bytes_per_second(0);
    progress.set_eta_seconds(0);
    progress.mutable_ranks(2)->set_bytes(690 * kMiB);
    progress.mutable_traced_at()->set_seconds(1'000);
    return progress;
}

}  // namespace prebake::report::hydrated_samples
