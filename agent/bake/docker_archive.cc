#include "agent/bake/docker_archive.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <utility>

#include "agent/base/error.h"

namespace prebake::bake {
namespace {

constexpr std::size_t kBlock = 512;
/// Octal numbers of a header end here; larger ones are binary.
constexpr std::uint64_t kMostOctal = 077777777777ULL;

std::size_t padding_of(std::uint64_t size) {
    return static_cast<std::size_t>((kBlock - size % kBlock) % kBlock);
}

/// The header of a regular file (POSIX ustar; GNU's binary size above 8 GiB).
std::string tar_header_of(const std::string& name, std::uint64_t size) {
    std::string header(kBlock, '\0');
    const auto put = [&](std::size_t at, const std::string& text) {
        std::copy(text.begin(), text.end(), header.begin() + static_cast<std::ptrdiff_t>(at));
    };
    std::array<char, 16> octal{};
    put(0, name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    if (size <= kMostOctal) {
        std::snprintf(octal.data(), octal.size(), "%011llo", static_cast<unsigned long long>(size));
        put(124, octal.data());
    } else {
        header[124] = '\x80';
        for (std::size_t i = 0; i < sizeof size; ++i) {
            header[135 - i] = static_cast<char>((size >> (8 * i)) & 0xFF);
        }
    }
    put(136, "00000000000");
    put(148, "        ");  // the checksum counts as blanks
    header[156] = '0';
    put(257, std::string("ustar\0"
                         "00",
                         8));
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    std::snprintf(octal.data(), octal.size(), "%06o", sum);
    put(148, std::string(octal.data()) + '\0' + ' ');
    return header;
}

std::string quoted_list(const std::vector<std::string>& texts) {
    std::string list;
    for (const std::string& text : texts) list += (list.empty() ? "\"" : ",\"") + text + "\"";
    return "[" + list + "]";
}

}  // namespace

DockerArchive::DockerArchive(const ResolvedImage& image, const std::vector<std::string>& tags,
                             OpenLayer open_layer)
    : open_layer_(std::move(open_layer)) {
    const std::string config = image.config.descriptor.digest.hex() + ".json";
    std::vector<std::string> layers;
    for (std::size_t i = 0; i < image.contents.layers.size(); ++i) {
        layers.push_back(std::to_string(i) + ".tar");
    }
    parts_.emplace_back();
    // References and digests have no character that JSON escapes.
    add("manifest.json", R"([{"Config":")" + config + R"(","RepoTags":)" + quoted_list(tags) +
                             R"(,"Layers":)" + quoted_list(layers) + "}]");
    add(config, image.config.bytes);
    for (std::size_t i = 0; i < layers.size(); ++i) {
        const oci::Descriptor& layer = image.contents.layers[i];
        parts_.back().bytes += tar_header_of(layers[i], layer.size);
        parts_.back().layer = &layer;
        parts_.push_back({.bytes = std::string(padding_of(layer.size), '\0'), .layer = nullptr});
    }
    parts_.back().bytes.append(2 * kBlock, '\0');
    for (const Part& part : parts_) {
        size_ += part.bytes.size() + (part.layer == nullptr ? 0 : part.layer->size);
    }
}

void DockerArchive::add(const std::string& name, const std::string& contents) {
    parts_.back().bytes += tar_header_of(name, contents.size()) + contents +
                           std::string(padding_of(contents.size()), '\0');
}

std::size_t DockerArchive::read(std::span<std::byte> buffer) {
    std::size_t done = 0;
    while (done < buffer.size() && part_ < parts_.size()) {
        const Part& part = parts_[part_];
        if (at_ < part.bytes.size()) {
            const std::size_t size = std::min(buffer.size() - done, part.bytes.size() - at_);
            std::memcpy(buffer.data() + done, part.bytes.data() + at_, size);
            at_ += size;
            done += size;
            continue;
        }
        const std::uint64_t layer_done = hashed_ ? hashed_->size() : 0;
        if (part.layer != nullptr && layer_done < part.layer->size) {
            done += read_layer(*part.layer, buffer.subspan(done));
            continue;
        }
        ++part_;
        at_ = 0;
        hashed_.reset();
        layer_.reset();
    }
    return done;
}

std::size_t DockerArchive::read_layer(const oci::Descriptor& layer, std::span<std::byte> buffer) {
    if (!layer_) {
        layer_ = open_layer_(layer);
        hashed_.emplace(*layer_);
    }
    const std::uint64_t left = layer.size - hashed_->size();
    const std::span<std::byte> wanted =
        buffer.first(static_cast<std::size_t>(std::min<std::uint64_t>(left, buffer.size())));
    const std::size_t size = hashed_->read(wanted);
    const bool is_short = size < wanted.size();
    // dockerd gets the last bytes of an archive only if all layers are what they claim to be.
    if (is_short ||
        (hashed_->size() == layer.size && oci::Digest(hashed_->finish()) != layer.digest)) {
        throw Error(
            Errc::corrupt,
            "layer " + layer.digest.str() + (is_short ? " ends early" : " has another digest"),
            "the registry or a proxy damages it: try another one");
    }
    return size;
}

}  // namespace prebake::bake
