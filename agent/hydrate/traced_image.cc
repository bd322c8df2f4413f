#include "agent/hydrate/traced_image.h"

#include <chrono>
#include <cstddef>

#include "agent/base/timestamp.h"

namespace prebake::hydrate {

std::vector<LayerDirectory> layer_directories(const v1::BakedImage& image,
                                              const std::vector<std::filesystem::path>& lowers) {
    std::vector<LayerDirectory> directories;
    directories.reserve(lowers.size());
    for (int i = 0; i < image.layers_size(); ++i) {
        directories.push_back(
            {.diff_id = image.layers(i).diff_id(),
             .directory = lowers[lowers.size() - 1 - static_cast<std::size_t>(i)]});
    }
    return directories;
}

void add_traced_image(const v1::BakedImage& image, double seconds, v1::ReadTrace& trace) {
    v1::TracedImage& traced = *trace.add_images();
    traced.set_name(image.name());
    traced.set_digest(image.manifest().digest());
    for (const v1::Layer& layer : image.layers()) traced.add_diff_ids(layer.diff_id());
    traced.set_recordings(1);
    traced.set_seconds(seconds);
    *traced.mutable_recorded_at() = to_timestamp(std::chrono::system_clock::now());
}

}  // namespace prebake::hydrate
