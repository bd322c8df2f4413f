#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/bake/event.h"

namespace prebake::cli {

/// State of the live part of the screen. Events update it; drawing is a pure function of it.
class LiveState {
  public:
    using Clock = std::chrono::steady_clock;

    void apply(const bake::Event& event, Clock::time_point now);

    /// One line for each layer that is fetched or unpacked, then the totals; at most `height` lines
    /// of at most `width` columns, in ASCII. Empty before the bake has started.
    std::vector<std::string> lines(std::size_t width, std::size_t height,
                                   Clock::time_point now) const;

  private:
    /// The part of the work that is done, in bytes of compressed blobs. What is reported twice
    /// counts once, and content that is there without a transfer counts like any other.
    class Stage {
      public:
        void plan(const std::vector<bake::PlannedWork>& works);
        /// At least `bytes` of it are done.
        void reach(const std::string& id, std::uint64_t bytes);
        void finish(const std::string& id);
        std::uint64_t done() const { return done_; }
        std::uint64_t total() const { return total_; }

      private:
        struct Item {
            std::uint64_t done = 0;
            std::uint64_t total = 0;
        };
        std::map<std::string, Item> items_;
        std::uint64_t done_ = 0;
        std::uint64_t total_ = 0;
    };
    struct Layer {
        bool is_unpacking = false;
        std::uint64_t current = 0;
        std::uint64_t total = 0;
        std::uint64_t received = 0;
    };
    using Layers = std::map<std::pair<std::string, std::string>, Layer>;  // by image and digest

    std::vector<std::string> totals(std::size_t width, Clock::time_point now) const;
    std::string stage_line(const std::string& label, const Stage& stage, std::size_t width,
                           const std::vector<std::string>& notes) const;
    std::vector<std::string> transfer_notes(Clock::time_point now) const;
    static std::vector<std::string> layer_lines(const Layers& layers, std::size_t limit,
                                                std::size_t width);

    Layers active_;
    Stage stored_;
    Stage unpacked_;
    std::uint64_t received_ = 0;  ///< over the network
    Clock::time_point begin_{};
    std::size_t images_ = 0;
    std::size_t images_done_ = 0;
    std::size_t images_failed_ = 0;
};

/// An image's name in at most `width` columns, shortened in the middle: the end, with the tag, is
/// what tells images apart. Of a digest, twelve digits are shown.
std::string shorten_name(const std::string& name, std::size_t width);

}  // namespace prebake::cli
