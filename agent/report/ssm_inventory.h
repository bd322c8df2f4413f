#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/report/status_holder.h"

namespace prebake::report {

struct InventoryFile {
    std::string name;  ///< "prebake-node.json"
    std::string json;
};

/// Custom:PrebakeNode (one entry) and Custom:PrebakeImage (SSM custom inventory,
/// SchemaVersion 1.0): strings of at most 4,096 bytes, at most 50 attributes; of the images at most
/// 500, those with problems first (ImagesTotal and ImagesListed of the node tell how many there
/// are). No times, but the counts of starts: the agent sends what differs, so write when a
/// condition changes, and else every few minutes at most. Pure.
std::vector<InventoryFile> inventory_of(const NodeView& view);

/// Writes them for the instance below `root` ("/" but in tests), where SSM's agent is installed,
/// and where they differ from what is there. Returns what had to be left undone, for the log (the
/// agent refuses all custom inventory when there are more than 20 files); empty: all is well, or
/// there is no agent. `instance_id` must be i-… or mi-…: for another nothing is written.
/// @throws Error no_space, permission_denied, io.
std::string write_inventory(const std::filesystem::path& root, const std::string& instance_id,
                            const std::vector<InventoryFile>& files);

}  // namespace prebake::report
