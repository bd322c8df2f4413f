#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/secrets/patterns.h"
#include "agent/machine/root.h"

namespace prebake::identity {

/// Finds passwords that would be the same on every clone, in the databases of accounts: of users
/// with a login shell, hashes (crypt(5)) that are not locked, and empty passwords; of groups,
/// hashes. What locks an account ("!", "*", also before a hash, "x", "NP") is no password.
class LivePasswords {
  public:
    /// `passwd` is the contents of /etc/passwd, which says who has a login shell.
    explicit LivePasswords(std::string_view passwd);
    /// Of the machine in `root`. @throws Error permission_denied, io, too_large.
    explicit LivePasswords(const machine::Root& root);

    /// As secrets::LocateMore. Kinds name the account, and are valid as long as this object.
    void locate(std::string_view path, std::string_view text, std::size_t from, std::size_t to,
                std::vector<secrets::LocatedSecret>& located);

  private:
    std::set<std::string, std::less<>> login_users_;
    std::set<std::string> kinds_;
};

}  // namespace prebake::identity
