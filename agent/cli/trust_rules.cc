#include "agent/cli/trust_rules.h"

#include <string>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file_trust.h"

namespace prebake::cli {
namespace {

/// A key has less than 1 kB.
constexpr std::size_t kMaxKeyFileBytes = 64UL << 10;

trust::Requirement requirement_of(const toml::node& node, const std::string& place) {
    const std::string word = string_value(node, "require", "\"signature\"");
    if (word == "signature") return trust::Requirement::signature;
    if (word == "none") return trust::Requirement::none;
    throw unknown_word(place, "requirement", word, {"signature", "none"});
}

trust::Rule read_rule(const toml::node& node, const std::filesystem::path& file) {
    const std::string place = place_of(node, file.string());
    const toml::table* const table = node.as_table();
    if (table == nullptr) {
        throw Error(Errc::usage, place + ": a rule of trust must be a table",
                    "write [[trust]] and its keys below");
    }
    trust::Rule rule{.match = {}, .origin = place};
    for (const auto& [name, value] : *table) {
        const std::string key(name.str());
        const std::string at = place_of(value, file.string());
        if (key == "match") {
            for (const std::string& pattern :
                 strings_value(value, key, "[\"docker.io/library/*\"]")) {
                rule.match.push_back(in_context(
                    at + ": match", [&] { return trust::RepositoryPattern::parse(pattern); }));
            }
        } else if (key == "keys") {
            for (const std::string& path :
                 strings_value(value, key, "[\"/etc/prebake/keys/cosign.pub\"]")) {
                rule.key_files.push_back((std::filesystem::absolute(file).parent_path() / path)
                                             .lexically_normal()
                                             .string());
            }
        } else if (key == "require") {
            rule.require = requirement_of(value, at);
        } else {
            throw unknown_key(at, key, {"match", "keys", "require"});
        }
    }
    if (rule.match.empty()) {
        throw Error(Errc::usage, place + ": the rule matches no repository",
                    "add match, such as match = [\"docker.io/library/*\"]");
    }
    const bool needs_keys = rule.require == trust::Requirement::signature;
    if (needs_keys && rule.key_files.empty()) {
        throw Error(Errc::usage, place + ": the rule requires a signature, and has no keys",
                    "add keys, such as keys = [\"/etc/prebake/keys/cosign.pub\"], or set require = "
                    "\"none\"");
    }
    if (!needs_keys && !rule.key_files.empty()) {
        throw Error(Errc::usage, place + ": the rule has keys, and requires nothing",
                    "remove keys, or set require = \"signature\"");
    }
    return rule;
}

}  // namespace

std::vector<trust::Rule> read_trust_rules(const toml::node& node,
                                          const std::filesystem::path& file) {
    const toml::array* const tables = node.as_array();
    if (tables == nullptr) {
        throw Error(Errc::usage,
                    place_of(node, file.string()) + ": there may be several rules of trust",
                    "write [[trust]], with two brackets");
    }
    std::vector<trust::Rule> rules;
    rules.reserve(tables->size());
    for (const toml::node& table : *tables) rules.push_back(read_rule(table, file));
    return rules;
}

trust::Policy policy_of(const std::vector<trust::Rule>& rules) {
    return {rules, [](const std::string& path) {
                return read_trusted_file(path, kMaxKeyFileBytes, WhoseFile::invokers);
            }};
}

}  // namespace prebake::cli
