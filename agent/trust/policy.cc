#include "agent/trust/policy.h"

#include <algorithm>
#include <utility>

namespace prebake::trust {
namespace {

/// The most specific pattern of the rule that matches; null if none does.
const RepositoryPattern* best_match(const Rule& rule, std::string_view repository) {
    const RepositoryPattern* best = nullptr;
    for (const RepositoryPattern& pattern : rule.match) {
        if (!pattern.matches(repository)) continue;
        if (best == nullptr || pattern.is_more_specific_than(*best)) best = &pattern;
    }
    return best;
}

std::variant<PublicKey, Error> read_key(const std::string& file, const Rule& rule,
                                        const Policy::ReadFile& read_file) {
    try {
        return PublicKey::parse(read_file(file), file);
    } catch (const Error& error) {
        // Whatever is wrong with the file: the author of the rule can correct it.
        return Error(Errc::usage, described(rule) + ": " + error.message(),
                     error.next_step().empty() ? "name the public key that the image is signed with"
                                               : error.next_step());
    }
}

}  // namespace

std::string described(const Rule& rule) {
    return rule.origin.starts_with("--") ? rule.origin : "the rule at " + rule.origin;
}

Rule rule_of_verify_key(std::vector<std::string> key_files) {
    return {.match = {RepositoryPattern::parse("**")},
            .key_files = std::move(key_files),
            .is_for_listed = true,
            .origin = "--verify-key"};
}

Policy::Policy(std::vector<Rule> rules, const ReadFile& read_file) : rules_(std::move(rules)) {
    for (const Rule& rule : rules_) {
        for (const std::string& file : rule.key_files) {
            if (!keys_.contains(file)) keys_.emplace(file, read_key(file, rule, read_file));
        }
    }
}

const Rule* Policy::rule_for(std::string_view repository, NamedBy by) const {
    const Rule* best = nullptr;
    const RepositoryPattern* best_pattern = nullptr;
    for (const Rule& rule : rules_) {
        if (rule.is_for_listed && by == NamedBy::cri) continue;
        const RepositoryPattern* const pattern = best_match(rule, repository);
        if (pattern == nullptr) continue;
        if (best_pattern != nullptr && best_pattern->is_more_specific_than(*pattern)) continue;
        best = &rule;
        best_pattern = pattern;
    }
    return best;
}

std::vector<const Rule*> Policy::required_for(const std::vector<std::string>& repositories,
                                              NamedBy by) const {
    std::vector<const Rule*> required;
    for (const std::string& repository : repositories) {
        const Rule* const rule = rule_for(repository, by);
        if (rule == nullptr || rule->require == Requirement::none) continue;
        if (std::find(required.begin(), required.end(), rule) == required.end()) {
            required.push_back(rule);
        }
    }
    return required;
}

std::vector<PublicKey> Policy::keys_of(const Rule& rule) const {
    std::vector<PublicKey> keys;
    for (const std::string& file : rule.key_files) {
        const auto found = keys_.find(file);
        if (found == keys_.end()) continue;
        if (const auto* key = std::get_if<PublicKey>(&found->second)) keys.push_back(*key);
    }
    return keys;
}

const PublicKey* Policy::find_key(std::string_view fingerprint) const {
    for (const auto& [file, read] : keys_) {
        const auto* key = std::get_if<PublicKey>(&read);
        if (key != nullptr && key->fingerprint() == fingerprint) return key;
    }
    return nullptr;
}

std::vector<Error> Policy::problems() const {
    std::vector<Error> problems;
    for (const auto& [file, read] : keys_) {
        if (const auto* problem = std::get_if<Error>(&read)) problems.push_back(*problem);
    }
    return problems;
}

void Policy::require_keys() const {
    const std::vector<Error> problems = this->problems();
    if (!problems.empty()) throw Error(problems.front());
}

}  // namespace prebake::trust
