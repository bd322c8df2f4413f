#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/docker/api_version.h"
#include "agent/docker/engine.h"

/// What dockerd answers, read as its own clients do: unknown members are ignored, names match in
/// any case. Pure.
///
/// @throws Error from each function: corrupt if it is not such a document, too_large if it has more
/// than is read.
namespace prebake::docker {

/// Of a whole answer. A list of 10,000 containers has about 20 MiB.
inline constexpr std::size_t kMaxDocumentBytes = 32UL << 20;

struct EngineVersion {
    std::string version;  ///< "28.5.2"
    ApiVersion oldest;    ///< 0.0 if it does not say
};

EngineVersion parse_version(std::string_view json);
/// Without EngineInfo::api_version.
EngineInfo parse_info(std::string_view json);
EngineImage parse_image(std::string_view json);
std::vector<EngineContainer> parse_containers(std::string_view json);
EngineEvent parse_event(std::string_view line);

/// The message of an answer that is an error; up to API 1.23 it is the answer's text. Never throws.
std::string message_in(std::string_view body);

/// One line of the stream of a pull or a load. Members that it does not have are empty.
struct StreamLine {
    std::string id;      ///< of a layer, shortened, or the tag that is pulled
    std::string status;  ///< "Downloading"
    std::string text;    ///< of a load: "Loaded image: alpine:3.20"
    std::string error;
    std::uint64_t current = 0;
    std::uint64_t total = 0;
    std::string units;  ///< of `current`; empty: bytes
};

StreamLine parse_stream_line(std::string_view line);

}  // namespace prebake::docker
