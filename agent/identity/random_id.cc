#include "agent/identity/random_id.h"

#include <cstddef>

#include "agent/identity/random_hex.h"

namespace prebake::identity {

std::string make_random_id() {
    std::string id = random_hex(16);
    id[12] = '4';
    constexpr std::string_view kVariant = "89ab";
    const auto digit = static_cast<std::size_t>(id[16] <= '9' ? id[16] - '0' : id[16] - 'a' + 10);
    id[16] = kVariant[digit % kVariant.size()];
    return id;
}

std::string uuid_form(std::string_view id) {
    std::string uuid(id);
    for (const std::size_t place : {8UL, 13UL, 18UL, 23UL}) uuid.insert(place, "-");
    return uuid;
}

}  // namespace prebake::identity
