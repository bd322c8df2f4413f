#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/base/error.h"
#include "agent/trust/pattern.h"
#include "agent/trust/public_key.h"

namespace prebake::trust {

enum class Requirement {
    none,
    signature,  ///< by one of the rule's keys
};

/// What must be shown of the images in some repositories, before they get a name.
struct Rule {
    std::vector<RepositoryPattern> match;
    std::vector<std::string> key_files = {};  ///< in PEM form; none with Requirement::none
    Requirement require = Requirement::signature;
    bool is_for_listed = false;  ///< only for images that a user named: not for CRI's sandbox image
    std::string origin;          ///< where it is written: "prebake.toml:12", "--verify-key"

    bool operator==(const Rule&) const = default;
};

/// "the rule at prebake.toml:12", or "--verify-key".
std::string described(const Rule& rule);

/// The rule of the images that no other rule is about: a signature by one of the keys. Not for
/// CRI's sandbox image, which every node of this kind has, and which the owner of the key did not
/// make.
Rule rule_of_verify_key(std::vector<std::string> key_files);

/// Who names an image.
enum class NamedBy { user, cri };

/// The rules, and the keys in their files. Thread-safe.
class Policy {
  public:
    /// Returns the content of a key's file. @throws Error.
    using ReadFile = std::function<std::string(const std::string& path)>;

    /// Without rules: every image is accepted.
    Policy() = default;
    /// Of two rules that are equally specific, the later one wins. Reads each key once; a key that
    /// cannot be used is no error yet.
    Policy(std::vector<Rule> rules, const ReadFile& read_file);

    /// The most specific rule about the repository; null if there is none.
    const Rule* rule_for(std::string_view repository, NamedBy by = NamedBy::user) const;
    /// The rules about these names of one image that require a signature, each once.
    std::vector<const Rule*> required_for(const std::vector<std::string>& repositories,
                                          NamedBy by = NamedBy::user) const;

    /// The keys of a rule that can be used.
    std::vector<PublicKey> keys_of(const Rule& rule) const;
    /// The key with that fingerprint, whichever rule has it; null if there is none.
    const PublicKey* find_key(std::string_view fingerprint) const;
    /// Why keys cannot be used, one Error (usage) for each.
    std::vector<Error> problems() const;
    /// @throws Error the first of problems().
    void require_keys() const;

  private:
    std::vector<Rule> rules_;
    std::map<std::string, std::variant<PublicKey, Error>, std::less<>> keys_;  ///< by file
};

}  // namespace prebake::trust
