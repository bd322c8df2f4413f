#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace prebake::identity::secrets {

/// Finds a fixed set of strings in one pass over a text, ignoring ASCII case. A bitmap of their
/// first three characters skips nearly all of the text at a few cycles per byte; only possible
/// beginnings are compared. For any text, the time is bounded by its size times the number of
/// needles with the same beginning.
class NeedleFinder {
  public:
    /// Needles have at least three characters.
    explicit NeedleFinder(const std::vector<std::string_view>& needles);

    /// Calls on_found(index of the needle, offset of its first byte), in the order of offsets.
    template <typename OnFound>
    void find_all(std::string_view text, OnFound&& on_found) const {
        std::uint32_t beginning = 0;
        for (std::size_t at = next_candidate(text, 0, beginning); at < text.size();
             at = next_candidate(text, at + 1, beginning)) {
            if (at < 2) continue;
            for (const std::size_t index : indexes_.at(beginning)) {
                if (is_at(text, at - 2, needles_[index])) on_found(index, at - 2);
            }
        }
    }

    /// Bytes of the longest needle.
    std::size_t longest() const;

  private:
    // All bytes that begin no needle share one class. Three classes are 18 bits, and a bitmap of
    // that size fits into the fastest processor cache.
    static constexpr std::uint32_t kClassBits = 6;
    static constexpr std::uint32_t kMask = (1U << 3 * kClassBits) - 1;

    std::uint32_t class_of(char c) const { return class_of_[static_cast<unsigned char>(c)]; }
    /// The first offset, from `at` on, at which three characters that begin a needle end; or the
    /// end of the text. `beginning` holds the classes of the last three characters, before and
    /// after the call.
    std::size_t next_candidate(std::string_view text, std::size_t at,
                               std::uint32_t& beginning) const;
    static bool is_at(std::string_view text, std::size_t offset, const std::string& needle);

    std::array<std::uint8_t, 256> class_of_{};
    std::vector<std::uint64_t> begins_one_;
    std::unordered_map<std::uint32_t, std::vector<std::size_t>> indexes_;
    std::vector<std::string> needles_;  ///< in lower case
};

}  // namespace prebake::identity::secrets
