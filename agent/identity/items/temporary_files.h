#pragma once

#include <string_view>

namespace prebake::identity {

/// True for what the running machine needs in /tmp or /var/tmp: the private directories of this
/// boot's services (systemd.exec(5), PrivateTmp=), snapd's, and the socket directories that
/// tmpfiles.d creates at boot. They do not get into an image, or are empty. Pure.
bool is_in_use(std::string_view name, std::string_view boot_id);

}  // namespace prebake::identity
