#pragma once

#include <span>

#include "agent/identity/item.h"

namespace prebake::identity {

// How tables write a target.
constexpr Target remove(std::string_view pattern) {
    return {Target::What::file, pattern};
}
constexpr Target remove_inside(std::string_view pattern) {
    return {Target::What::contents, pattern};
}
constexpr Target empty(std::string_view pattern) {
    return {Target::What::bytes, pattern};
}
constexpr Target empty_inside(std::string_view pattern) {
    return {Target::What::all_bytes, pattern};
}

// The tables of items, by subject, in the order of work. An item's position in its table is its
// place in that order.

std::span<const Item> machine_items();
std::span<const Item> host_key_items();
std::span<const Item> cloud_items();
std::span<const Item> network_items();
std::span<const Item> storage_items();
std::span<const Item> container_items();
std::span<const Item> kubernetes_items();
std::span<const Item> credential_items();
std::span<const Item> enrollment_items();
std::span<const Item> agent_items();
std::span<const Item> user_items();
std::span<const Item> package_items();
std::span<const Item> log_items();

}  // namespace prebake::identity
