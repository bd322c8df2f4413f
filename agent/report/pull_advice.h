#pragma once

#include <cstdint>
#include <string>

#include "proto/prebake/v1/bake_record.pb.h"
#include "proto/prebake/v1/node.pb.h"

/// Whether a pull would have been faster than a disk that loads lazily. Pure.
namespace prebake::report {

/// To get the same images ready to start.
struct WarmOrPull {
    std::uint64_t cold_bytes = 0;  ///< on the disk, uncompressed
    double bytes_per_second = 0;   ///< at which they become warm; 0: not known
    std::uint64_t compressed_bytes = 0;
    double pull_bytes_per_second = 0;  ///< of these, fetched and unpacked; 0: not known
};

/// What to choose from; empty: a pull would not be clearly faster, or it is not known.
std::string pull_advice(const WarmOrPull& numbers);

/// The rate at which the bakes of this record fetched and unpacked, while they did; 0: not known.
double baked_bytes_per_second(const v1::BakeRecord& record);

/// The advice for a node: what was cold there when hydration began, and its rate so far.
/// `compressed_bytes` is the size of what was baked.
std::string pull_advice(const v1::NodeHydration& hydration, const v1::BakeRecord& record,
                        std::uint64_t compressed_bytes);

}  // namespace prebake::report
