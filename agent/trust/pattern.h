#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace prebake::trust {

/// A glob of repositories, registry first: "docker.io/library/*". In it
///   *   stands for any characters except '/', also for none
///   **  stands for any characters, also for none
///   ?   stands for one character except '/'
/// and everything else for itself, in upper or lower case. The whole name must match, without tag
/// and digest. A registry counts as the same in all spellings that lead to it: the port 443 given
/// or left out, zeros before a port, the forms of an IPv6 address, the names of Docker Hub. Aliases
/// in the DNS are other registries.
class RepositoryPattern {
  public:
    /// @throws Error usage if no repository can match, with the pattern that was probably meant.
    static RepositoryPattern parse(std::string_view text);

    /// `repository` is a name with its registry: "docker.io/library/nginx".
    bool matches(std::string_view repository) const;
    /// More characters that stand for themselves are more specific; if both have the same number,
    /// more of them before the first wildcard.
    bool is_more_specific_than(const RepositoryPattern& other) const;
    const std::string& text() const { return text_; }

    bool operator==(const RepositoryPattern&) const = default;

  private:
    explicit RepositoryPattern(std::string text);

    std::string text_;  ///< in lower case, and with the usual spelling of the registry
    std::size_t literals_ = 0;
    std::size_t prefix_ = 0;  ///< of these before the first wildcard
};

}  // namespace prebake::trust
