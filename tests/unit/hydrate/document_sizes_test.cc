#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/file.h"
#include "agent/hydrate/chunk_set.h"
#include "agent/hydrate/documents.h"
#include "agent/hydrate/trace.h"
#include "agent/hydrate/trace_check.h"
#include "agent/hydrate/traced_file.h"
#include "tests/unit/temporary_directory.h"

/// How large the documents of a hundred images are, on a disk as ext4 fills it.
namespace prebake::hydrate {

namespace document_sizes_test {

constexpr std::size_t kImages = 100;
constexpr std::size_t kLayers = 7;
/// Of ten places for layers, six have one that is also in some ten other images.
constexpr std::size_t kSharedLayers = kImages * kLayers * 6 / 10 / 10;
constexpr std::size_t kOwnLayers = kImages * kLayers * 4 / 10;
constexpr std::size_t kMostBytes = 1 << 20;
/// ext4 puts the directories of a tree into groups of 128 MiB that are far from each other, and
/// the files of a directory, and one after the other, into its group.
constexpr std::uint64_t kGroupChunks = 256;
constexpr std::uint64_t kGroups = 1600;  // 200 GiB

using Random = std::mt19937_64;

std::uint64_t one_of(Random& random, std::uint64_t least, std::uint64_t most) {
    return std::uniform_int_distribution<std::uint64_t>(least, most)(random);
}

std::string hex(Random& random) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (int i = 0; i < 64; ++i) text += kDigits[one_of(random, 0, 15)];
    return text;
}

struct Layer {
    std::string diff_id;
    std::string directory;
    std::string chain_id;
    ChunkSet chunks;
};

/// Files of some directories, between those of others that are written at the same time, one blob
/// of up to 128 MiB in extents of ext4's largest preallocation, and inode tables.
Layer layer_at(std::size_t number, Random& random) {
    Layer layer{.diff_id = "sha256:" + hex(random),
                .directory =
                    "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/"
                    "snapshots/" +
                    std::to_string(number) + "/fs",
                .chain_id = "overlayfs/sha256:" + hex(random),
                .chunks = {}};
    for (std::uint64_t directories = one_of(random, 1, 12); directories > 0; --directories) {
        const std::uint64_t group = one_of(random, 0, kGroups - 1) * kGroupChunks;
        layer.chunks.add(ChunkRun{.first = group, .count = one_of(random, 1, 3)});
        std::uint64_t at = group + one_of(random, 4, kGroupChunks - 40);
        for (std::uint64_t pieces = one_of(random, 1, 4); pieces > 0; --pieces) {
            const std::uint64_t count = one_of(random, 1, 6);
            layer.chunks.add(ChunkRun{.first = at, .count = count});
            at += count + one_of(random, 1, 4);
        }
    }
    for (std::uint64_t left = one_of(random, 2, 256); left > 0;) {
        const std::uint64_t count = std::min<std::uint64_t>(left, one_of(random, 4, 64));
        layer.chunks.add(ChunkRun{.first = one_of(random, 0, kGroups - 1) * kGroupChunks +
                                           one_of(random, 4, kGroupChunks - 64),
                                  .count = count});
        left -= count;
    }
    return layer;
}

std::vector<std::vector<const Layer*>> images_of(const std::vector<Layer>& layers) {
    std::vector<std::vector<const Layer*>> images(kImages);
    for (std::size_t image = 0; image < kImages; ++image) {
        for (std::size_t i = 0; i < kLayers; ++i) {
            const std::size_t place = image * kLayers + i;
            const bool is_shared = place % 10 < 6;
            const std::size_t own = place / 10 * 4 + (place % 10 - 6);
            images[image].push_back(
                &layers[is_shared ? place % kSharedLayers : kSharedLayers + own]);
        }
    }
    return images;
}

std::vector<Layer> all_layers(Random& random) {
    std::vector<Layer> layers;
    for (std::size_t i = 0; i < kSharedLayers + kOwnLayers; ++i) {
        layers.push_back(layer_at(i + 1, random));
    }
    return layers;
}

std::string name_of(std::size_t image) {
    return "123456789012.dkr.ecr.eu-central-1.amazonaws.com/platform/team/service-" +
           std::to_string(image) + ":v1.24.3-build.417";
}

/// As plan_maker makes it: what was recorded of all images is one part, and each chunk is once.
v1::HydrationPlan plan_of(const std::vector<Layer>& layers) {
    v1::HydrationPlan plan;
    plan.set_made_from("sha256:" + std::string(64, 'a'));
    v1::PlannedVolume& volume = *plan.add_volumes();
    volume.set_uuid("0c7f1e4a-0000-4000-8000-000000000000");
    volume.set_type("ext4");
    volume.set_mount_point("/");
    volume.set_chunk_bytes(kChunkBytes);
    volume.set_bytes(kGroups * kGroupChunks * kChunkBytes);
    for (int i = 0; i < 16; ++i) {
        v1::Sentinel& sentinel = *volume.add_sentinels();
        sentinel.set_path("/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/" +
                          std::string(64, 'b'));
        sentinel.set_size(1'000'000'000);
        sentinel.set_offset(1'000'000'000'000);
    }
    ChunkSet seen;
    const auto add_part = [&](v1::HydrationRank rank, const std::string& image, ChunkSet chunks) {
        chunks.subtract(seen);
        seen.add(chunks);
        v1::PlannedPart& part = *volume.add_parts();
        part.set_rank(rank);
        part.set_image(image);
        part.set_chunks(chunks.count());
        write_runs(chunks, *part.mutable_runs());
    };
    const auto images = images_of(layers);
    ChunkSet traced;
    for (const auto& image : images) {
        for (const Layer* layer : image) {
            // A chunk here and there.
            const std::vector<ChunkRun>& runs = layer->chunks.runs();
            for (std::size_t i = 0; i < runs.size(); i += 5) {
                traced.add(ChunkRun{.first = runs[i].first, .count = 1});
            }
        }
    }
    add_part(v1::TRACED, "", traced);
    for (std::size_t i = 0; i < images.size(); ++i) {
        v1::PlannedFiles& files = *plan.add_files();
        files.set_rank(v1::IMAGES);
        files.set_image(name_of(i));
        ChunkSet chunks;
        for (const Layer* layer : images[i]) {
            chunks.add(layer->chunks);
            files.add_paths(layer->directory);
        }
        add_part(v1::IMAGES, name_of(i), chunks);
    }
    for (const Layer& layer : layers) {
        v1::PlannedLayer& planned = *plan.add_layers();
        planned.set_diff_id(layer.diff_id);
        planned.set_directory(layer.directory);
        planned.set_chain_id(layer.chain_id);
    }
    return plan;
}

/// Of each layer a few files: programs, of which parts are mapped, and small ones.
v1::ReadTrace trace_of(const std::vector<Layer>& layers, Random& random) {
    v1::ReadTrace trace;
    const auto images = images_of(layers);
    for (std::size_t i = 0; i < images.size(); ++i) {
        v1::TracedImage& image = *trace.add_images();
        image.set_name(name_of(i));
        image.set_digest("sha256:" + hex(random));
        image.set_recordings(2);
        image.set_seconds(12.345);
        for (const Layer* layer : images[i]) image.add_diff_ids(layer->diff_id);
    }
    for (const Layer& layer : layers) {
        v1::TracedLayer& traced = *trace.add_layers();
        traced.set_diff_id(layer.diff_id);
        for (std::uint64_t i = one_of(random, 1, 16); i > 0; --i) {
            v1::TracedFile& file = *traced.add_files();
            file.set_path("usr/lib/python3.11/site-packages/package/module-" + std::to_string(i));
            file.set_recordings(2);
            file.set_seconds(4);
            FileRanges ranges;
            std::uint64_t at = 0;
            for (std::uint64_t pieces = one_of(random, 1, 6); pieces > 0; --pieces) {
                const std::uint64_t length = one_of(random, 1, 32) * 4096;
                ranges.add(ChunkRun{.first = at, .count = length});
                at += length + one_of(random, 1, 64) * 4096;
            }
            set_ranges(ranges, file);
        }
    }
    return trace;
}

TEST_CASE("the plan of a hundred images is less than a mebibyte") {
    Random random(16);
    const std::vector<Layer> layers = all_layers(random);
    const v1::HydrationPlan plan = plan_of(layers);
    std::uint64_t runs = 0;
    for (const v1::PlannedPart& part : plan.volumes(0).parts()) {
        runs += static_cast<std::uint64_t>(part.runs_size()) / 2;
    }
    // Otherwise the layout is too simple to show anything.
    CHECK(runs > 5'000);
    const TemporaryDirectory directory;
    write_plan(directory.path(), plan);
    const auto bytes = std::filesystem::file_size(plan_path(directory.path()));
    MESSAGE(runs << " runs, " << bytes << " bytes");
    CHECK(bytes < kMostBytes);
    CHECK(read_plan(directory.path()).volumes(0).parts_size() == kImages + 1);
}

TEST_CASE("the trace of a hundred images is less than a mebibyte") {
    Random random(16);
    const std::vector<Layer> layers = all_layers(random);
    const std::string text = trace_json(trace_of(layers, random));
    MESSAGE(text.size() << " bytes");
    CHECK(text.size() < kMostBytes);
    CHECK(parse_trace(text, "trace").images_size() == kImages);
}

}  // namespace document_sizes_test

}  // namespace prebake::hydrate
