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
/// SchemaVersion 1.0): strings of at most 4,096 bytes, at most 50 attributes, and at most 500
/// images, images with problems first (ImagesTotal and ImagesListed of the node have the numbers).
/// It has counts of starts but no times: the agent sends every difference, so write it when a
/// condition changes, otherwise at most every few minutes. Pure.
std::vector<InventoryFile> inventory_of(const NodeView& view);

/// Writes the files of the instance below `root` ("/" except in tests) if SSM's agent is installed
/// and if they changed. Returns a problem for the log (the agent rejects all custom inventory if
/// there are more than 20 files); empty: no problem, or no agent. Nothing is written unless
/// `instance_id` is i-… or mi-….
/// @throws Error no_space, permission_denied, io.
std::string write_inventory(const std::filesystem::path& root, const std::string& instance_id,
                            const std::vector<InventoryFile>& files);

}  // namespace prebake::report
