#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace prebake::bake {

enum class EventKind {
    bake_begun,   ///< `images` are to be baked, and `total` bytes to be fetched for them
    image_begun,  ///< `current` of its `total` bytes are there already
    fetching,     ///< `current` of `total` bytes of `layer`; comes often
    fetched,      ///< `layer` is in the store; `current` bytes of it came over the network
    unpacking,
    unpacked,
    image_done,    ///< `current` bytes of it came over the network
    image_failed,  ///< `message` says why
    notice,        ///< a retry, a fallback: something the operator may want to know
};
std::string_view to_string(EventKind kind);

/// Something that happened during a bake. Progress displays use it.
struct Event {
    EventKind kind;
    std::string image = {};  ///< empty for what concerns no single image
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

}  // namespace prebake::bake
