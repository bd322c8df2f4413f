#pragma once

#include <string>
#include <string_view>

namespace prebake::identity {

/// `text` with `lines` between our two marks, in the place of what stood there, else at the end;
/// all else as it was. No lines: no marks either. Pure.
std::string with_hosts_block(std::string_view text, std::string_view lines);

}  // namespace prebake::identity
