#pragma once

#include <string_view>

namespace prebake::identity {

/// True for what the running machine needs in /tmp or /var/tmp: private directories of services of
/// this boot (systemd.exec(5), PrivateTmp=), snapd's, and the socket directories that tmpfiles.d
/// makes at boot. They are not part of what is imaged, or empty. Pure.
bool is_in_use(std::string_view name, std::string_view boot_id);

}  // namespace prebake::identity
