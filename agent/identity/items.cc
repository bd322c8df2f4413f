#include "agent/identity/item.h"

#include "agent/identity/items/tables.h"

namespace prebake::identity {

const std::vector<Item>& items() {
    static const std::vector<Item> list = [] {
        std::vector<Item> all;
        for (const std::span<const Item> table :
             {machine_items(), host_key_items(), cloud_items(), network_items(), storage_items(),
              container_items(), kubernetes_items(), credential_items(), enrollment_items(),
              agent_items(), user_items(), package_items(), log_items()}) {
            all.insert(all.end(), table.begin(), table.end());
        }
        return all;
    }();
    return list;
}

}  // namespace prebake::identity
