#include "agent/identity/residue_text.h"

#include <cstddef>
#include <cstdint>

namespace prebake::identity {
namespace {

constexpr std::string_view kSealIt = "; run prebake seal";

std::string why_seal_is_stale(const v1::Claim& claim, std::string_view boot_id) {
    if (boot_id.empty() || claim.seal().boot_id().empty())
        return "not checked: it cannot be told whether it was sealed since it booted";
    if (claim.seal().boot_id() == boot_id) return {};
    return "sealed before this boot, and written to since" + std::string(kSealIt) + " again";
}

std::string name_of(const v1::Instance& instance) {
    return instance.id().empty() ? "an instance that is not known" : instance.id();
}

/// Bytes of the UTF-8 sequence that begins at `at`; 0 if none does, or if it is a control
/// character.
std::size_t sequence_at(std::string_view bytes, std::size_t at) {
    const auto byte = [&](std::size_t offset) {
        return at + offset < bytes.size() ? static_cast<unsigned char>(bytes[at + offset]) : 0U;
    };
    const unsigned first = byte(0);
    if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4) return 0;
    std::uint32_t character = first & (0xffU >> (length + 1));
    for (std::size_t offset = 1; offset < length; ++offset) {
        if ((byte(offset) & 0xc0U) != 0x80) return 0;
        character = character << 6U | (byte(offset) & 0x3fU);
    }
    const bool is_overlong =
        (length == 3 && character < 0x800) || (length == 4 && character < 0x10000);
    const bool is_surrogate = character >= 0xd800 && character < 0xe000;
    const bool is_control = character < 0xa0;
    return is_overlong || is_surrogate || is_control || character > 0x10ffff ? 0 : length;
}

}  // namespace

std::string why_not_sealed(const v1::Claim& claim, Machine machine, std::string_view boot_id) {
    switch (claim.state()) {
        case v1::Claim::SEALED:
            return machine == Machine::image ? std::string() : why_seal_is_stale(claim, boot_id);
        case v1::Claim::CLAIMING:
            return "a first boot of " + name_of(claim.instance()) + " was interrupted" +
                   std::string(kSealIt);
        case v1::Claim::CLAIMED:
            if (claim.unsealed_in_place()) {
                return "unsealed in place: it was booted after it was sealed, and has an identity "
                       "again" +
                       std::string(kSealIt) + " again";
            }
            return "claimed by " + name_of(claim.instance()) + std::string(kSealIt);
        case v1::Claim::UNCLAIMED:
        case v1::Claim_State_Claim_State_INT_MIN_SENTINEL_DO_NOT_USE_:
        case v1::Claim_State_Claim_State_INT_MAX_SENTINEL_DO_NOT_USE_:
            break;
    }
    return "never sealed" + std::string(kSealIt);
}

std::string printable(std::string_view bytes) {
    std::string text;
    for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t length = sequence_at(bytes, at);
        if (length == 0) {
            text += '?';
            ++at;
        } else {
            text += bytes.substr(at, length);
            at += length;
        }
    }
    return text;
}

}  // namespace prebake::identity
