#include "agent/identity/secrets/needle_finder.h"

#include <algorithm>

#include "agent/base/error.h"
#include "agent/base/text.h"

namespace prebake::identity::secrets {
namespace {

constexpr std::size_t kBeginning = 3;

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

char upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

}  // namespace

NeedleFinder::NeedleFinder(const std::vector<std::string_view>& needles)
    : begins_one_((std::size_t{kMask} + 1) / 64, 0) {
    std::uint8_t classes = 0;
    for (const std::string_view needle : needles) {
        if (needle.size() < kBeginning) throw Error(Errc::internal, "a needle is too short");
        std::uint32_t beginning = 0;
        for (const char written : needle.substr(0, kBeginning)) {
            const char c = lower(written);
            if (class_of(c) == 0) {
                if (++classes >> kClassBits != 0) throw Error(Errc::internal, "too many needles");
                class_of_[static_cast<unsigned char>(c)] = classes;
                class_of_[static_cast<unsigned char>(upper(c))] = classes;
            }
            beginning = beginning << kClassBits | class_of(c);
        }
        begins_one_[beginning / 64] |= std::uint64_t{1} << beginning % 64;
        indexes_[beginning].push_back(needles_.size());
        needles_.push_back(lower_case(needle));
    }
}

std::size_t NeedleFinder::longest() const {
    std::size_t longest = 0;
    for (const std::string& needle : needles_) longest = std::max(longest, needle.size());
    return longest;
}

std::size_t NeedleFinder::next_candidate(std::string_view text, std::size_t at,
                                         std::uint32_t& beginning) const {
    // Local variables, so that the compiler keeps them in registers: a scan spends nearly all its
    // time here.
    const std::uint8_t* const classes = class_of_.data();
    const std::uint64_t* const begins_one = begins_one_.data();
    const char* const bytes = text.data();
    const std::size_t size = text.size();
    std::uint32_t last = beginning;
    for (; at < size; ++at) {
        last = (last << kClassBits | classes[static_cast<unsigned char>(bytes[at])]) & kMask;
        if ((begins_one[last / 64] >> last % 64 & 1U) != 0) break;
    }
    beginning = last;
    return at;
}

bool NeedleFinder::is_at(std::string_view text, std::size_t offset, const std::string& needle) {
    if (text.size() - offset < needle.size()) return false;
    return std::equal(needle.begin(), needle.end(),
                      text.begin() + static_cast<std::ptrdiff_t>(offset),
                      [](char wanted, char found) { return wanted == lower(found); });
}

}  // namespace prebake::identity::secrets
