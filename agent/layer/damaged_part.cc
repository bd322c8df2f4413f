#include "agent/layer/damaged_part.h"

namespace prebake::layer {
namespace {

/// Bytes that were damaged on their way do not match the blob's digest, which others check.
constexpr const char* kNextStep =
    "if the blob matches its digest, it was pushed like this: build and push the image again";

}  // namespace

Error damaged_part(const std::string& part, std::uint64_t begin, const std::string& cause) {
    return {Errc::corrupt,
            "the " + part + " at byte " + std::to_string(begin) + " is damaged: " + cause,
            kNextStep};
}

Error truncated_part(const std::string& part, std::uint64_t begin, std::uint64_t size) {
    return {Errc::corrupt,
            "the " + part + " at byte " + std::to_string(begin) +
                " is truncated: the layer ends after " + std::to_string(size) + " bytes",
            kNextStep};
}

Error not_a_part(const std::string& part, std::uint64_t begin) {
    return {Errc::corrupt, "byte " + std::to_string(begin) + " is not the beginning of a " + part,
            kNextStep};
}

}  // namespace prebake::layer
