#include "agent/base/nearest.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "agent/base/ascii.h"

namespace prebake {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
        }
    }
    return row[b.size()];
}

std::string lowered(std::string_view text) {
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(), to_lower);
    return lower;
}

/// A shorter part of a word is in many words.
constexpr std::size_t kShortestPart = 3;

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
    const std::string given = lowered(word);
    std::string best;
    std::size_t least = word.size() / 3 + 2;  // more differences are not a typing error
    for (const std::string& candidate : known) {
        const std::size_t distance = edit_distance(given, lowered(candidate));
        if (distance >= least) continue;
        least = distance;
        best = candidate;
    }
    if (!best.empty() || given.size() < kShortestPart) return best;
    // "layers" for "keep_layers", "reference" for "ref".
    for (const std::string& candidate : known) {
        const std::string other = lowered(candidate);
        const bool is_part = ("_" + other + "_").find("_" + given + "_") != std::string::npos ||
                             (other.size() >= kShortestPart && given.starts_with(other));
        if (is_part) return candidate;
    }
    return {};
}

}  // namespace prebake
