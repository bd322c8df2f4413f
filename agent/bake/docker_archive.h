#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/bake/resolve.h"
#include "agent/base/stream.h"
#include "agent/layer/hashing_source.h"

namespace prebake::bake {

/// An image as the tar that `docker load` reads: manifest.json, the config, and the layers as they
/// are in the registry. It streams: layers are opened when their turn comes, and each is verified
/// before its last bytes are given away.
class DockerArchive final : public Source {
  public:
    using OpenLayer = std::function<std::unique_ptr<Source>(const oci::Descriptor&)>;

    /// `tags` are the names that the image gets, as "docker.io/library/nginx:1.27". `image` must
    /// live longer.
    DockerArchive(const ResolvedImage& image, const std::vector<std::string>& tags,
                  OpenLayer open_layer);

    /// Bytes of the whole archive.
    std::uint64_t size() const { return size_; }
    /// @throws Error of the layers; corrupt if one has not its size or digest.
    std::size_t read(std::span<std::byte> buffer) override;

  private:
    struct Part {
        std::string bytes;                       ///< comes first: headers, documents, padding
        const oci::Descriptor* layer = nullptr;  ///< comes then
    };

    void add(const std::string& name, const std::string& contents);
    std::size_t read_layer(const oci::Descriptor& layer, std::span<std::byte> buffer);

    OpenLayer open_layer_;
    std::vector<Part> parts_;
    std::uint64_t size_ = 0;
    std::size_t part_ = 0;
    std::size_t at_ = 0;  ///< in the bytes of the part
    std::unique_ptr<Source> layer_;
    std::optional<layer::HashingSource> hashed_;  ///< what is read of `layer_`
};

}  // namespace prebake::bake
