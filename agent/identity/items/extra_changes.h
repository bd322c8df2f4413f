#pragma once

#include "agent/identity/item.h"

namespace prebake::identity {

// The rules of the items that patterns cannot express; see Item::extra_changes. Each returns the
// changes that are still necessary, and throws Error if it cannot read a file that decides.

Changes hosts_changes(const machine::Root& root, const ItemSettings& settings);
Changes mail_name_changes(const machine::Root& root, const ItemSettings& settings);
Changes machine_id_changes(const machine::Root& root, const ItemSettings& settings);
Changes hostid_changes(const machine::Root& root, const ItemSettings& settings);
Changes installer_config_changes(const machine::Root& root, const ItemSettings& settings);
Changes cloud_init_accounts_changes(const machine::Root& root, const ItemSettings& settings);
Changes cloud_init_users_changes(const machine::Root& root, const ItemSettings& settings);
Changes cloud_init_sshd_changes(const machine::Root& root, const ItemSettings& settings);
Changes cloud_init_network_changes(const machine::Root& root, const ItemSettings& settings);
Changes network_profiles_changes(const machine::Root& root, const ItemSettings& settings);
Changes iscsi_initiator_changes(const machine::Root& root, const ItemSettings& settings);
Changes swap_files_changes(const machine::Root& root, const ItemSettings& settings);
Changes docker_changes(const machine::Root& root, const ItemSettings& settings);
Changes docker_swarm_changes(const machine::Root& root, const ItemSettings& settings);
Changes docker_containers_changes(const machine::Root& root, const ItemSettings& settings);
Changes docker_networks_changes(const machine::Root& root, const ItemSettings& settings);
Changes docker_build_cache_changes(const machine::Root& root, const ItemSettings& settings);
Changes docker_host_settings_changes(const machine::Root& root, const ItemSettings& settings);
Changes containerd_changes(const machine::Root& root, const ItemSettings& settings);
Changes containerd_containers_changes(const machine::Root& root, const ItemSettings& settings);
Changes registry_credentials_changes(const machine::Root& root, const ItemSettings& settings);
Changes puppet_changes(const machine::Root& root, const ItemSettings& settings);
Changes consul_data_changes(const machine::Root& root, const ItemSettings& settings);
Changes consul_changes(const machine::Root& root, const ItemSettings& settings);
Changes popularity_contest_changes(const machine::Root& root, const ItemSettings& settings);
Changes crontabs_changes(const machine::Root& root, const ItemSettings& settings);
Changes resolv_conf_changes(const machine::Root& root, const ItemSettings& settings);
Changes temporary_files_changes(const machine::Root& root, const ItemSettings& settings);
Changes login_records_changes(const machine::Root& root, const ItemSettings& settings);
Changes logs_changes(const machine::Root& root, const ItemSettings& settings);

}  // namespace prebake::identity
