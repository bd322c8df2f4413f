#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace prebake::bake {

enum class EventKind {
    bake_begun,   ///< the bake has `images` images and will fetch `total` bytes
    image_begun,  ///< `current` of its `total` bytes are there already
    fetching,     ///< `current` of `total` bytes of `layer`; sent often
    fetched,      ///< `layer` is in the store; `current` bytes of it came over the network
    unpacking,
    unpacked,
    image_done,    ///< `current` bytes of it came over the network
    image_failed,  ///< `message` says why
    notice,        ///< `message` is something the operator may want to know: a retry, a fallback
};
std::string_view to_string(EventKind kind);

/// Something that happened during a bake, to show its progress.
struct Event {
    EventKind kind;
    std::string image = {};  ///< empty if it is not about a single image
    std::string layer = {};  ///< digest
    std::uint64_t current = 0;
    std::uint64_t total = 0;
    std::size_t images = 0;
    std::string message = {};
};

class EventSink {
  public:
    virtual ~EventSink() = default;
    /// Called from any thread, several at once; must not throw and must return quickly.
    virtual void on_event(const Event& event) = 0;
};

/// Sends an EventKind::notice.
void notice(EventSink& events, const std::string& image, std::string message);

}  // namespace prebake::bake
