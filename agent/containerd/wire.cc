#include "agent/containerd/wire.h"

#include <algorithm>
#include <cstdint>

#include "agent/base/error.h"

namespace prebake::containerd {

Labels labels_from(const LabelMap& wire) {
    return Labels(wire.begin(), wire.end());
}

void labels_to(const Labels& labels, LabelMap& wire) {
    for (const auto& [key, value] : labels) wire[key] = value;
}

void add_label_paths(const Labels& labels, google::protobuf::FieldMask& mask) {
    for (const auto& [key, value] : labels) mask.add_paths("labels." + key);
}

std::chrono::system_clock::time_point time_from(const google::protobuf::Timestamp& wire) {
    using Clock = std::chrono::system_clock;
    // Time stamps have years 1 to 9999; half of them overflow nanoseconds in 64 bits.
    constexpr std::int64_t kMaxSeconds =
        std::chrono::duration_cast<std::chrono::seconds>(Clock::duration::max()).count() - 1;
    const auto seconds = std::clamp<std::int64_t>(wire.seconds(), -kMaxSeconds, kMaxSeconds);
    const auto nanoseconds = std::clamp<std::int32_t>(wire.nanos(), 0, 999'999'999);
    return Clock::time_point(std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanoseconds));
}

oci::Digest digest_from(const std::string& wire) {
    try {
        return oci::Digest::parse(wire);
    } catch (const Error& error) {
        const Errc code = error.code() == Errc::unsupported ? Errc::unsupported : Errc::corrupt;
        throw Error(code, "containerd returns an unusable digest: " + error.message());
    }
}

oci::Descriptor descriptor_from(const ::containerd::types::Descriptor& wire) {
    return oci::Descriptor{.media_type = wire.media_type(),
                           .digest = digest_from(wire.digest()),
                           .size = static_cast<std::uint64_t>(wire.size()),
                           .annotations = labels_from(wire.annotations()),
                           .platform = {}};
}

void descriptor_to(const oci::Descriptor& descriptor, ::containerd::types::Descriptor& wire) {
    wire.set_media_type(descriptor.media_type);
    wire.set_digest(descriptor.digest.str());
    wire.set_size(static_cast<std::int64_t>(descriptor.size));
}

}  // namespace prebake::containerd
