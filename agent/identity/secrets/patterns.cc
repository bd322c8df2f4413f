#include "agent/identity/secrets/patterns.h"

#include <algorithm>
#include <cstdint>

#include "agent/identity/secrets/judges.h"
#include "agent/identity/secrets/needle_finder.h"
#include "agent/identity/secrets/rules.h"

namespace prebake::identity::secrets {
namespace {

std::vector<std::string_view> needles_of(const std::vector<SecretRule>& rules) {
    std::vector<std::string_view> needles;
    needles.reserve(rules.size());
    for (const SecretRule& rule : rules) needles.push_back(rule.needle);
    return needles;
}

/// Removes settings from lines in which something has a format.
void prefer_formats(std::string_view text, std::vector<LocatedSecret>& located) {
    std::vector<LocatedSecret> preferred;
    for (auto line = located.begin(); line != located.end();) {
        const std::size_t line_end = std::min(text.find('\n', line->offset), text.size());
        const auto next = std::find_if(line, located.end(), [&](const LocatedSecret& secret) {
            return secret.offset > line_end;
        });
        const auto is_form = [](const LocatedSecret& secret) {
            return secret.evidence == Evidence::format;
        };
        if (std::any_of(line, next, is_form))
            std::copy_if(line, next, std::back_inserter(preferred), is_form);
        else
            preferred.insert(preferred.end(), line, next);
        line = next;
    }
    located = std::move(preferred);
}

}  // namespace

std::vector<LocatedSecret> locate_secrets(std::string_view path, std::string_view text,
                                          std::size_t from, std::size_t to) {
    const std::vector<SecretRule>& rules = secret_rules();
    static const NeedleFinder finder(needles_of(rules));
    const FileTraits traits = traits_of(path);
    std::vector<LocatedSecret> located;
    // One finding per line is enough, and limits the cost of a file full of them.
    std::vector<std::size_t> quiet_until(rules.size(), 0);
    const std::string_view looked_at =
        text.substr(from, to - from + std::min(text.size() - to, finder.longest()));
    finder.find_all(looked_at, [&](std::size_t index, std::size_t offset) {
        const SecretRule& rule = rules[index];
        const std::size_t begin = from + offset;
        if (begin >= to || begin < quiet_until[index]) return;
        const std::string_view kind =
            rule.judge(rule, {text, begin, begin + rule.needle.size(), traits});
        if (kind.empty()) return;
        const bool is_setting = rule.judge == judge_setting;
        located.push_back({kind, begin, is_setting ? Evidence::setting : Evidence::format});
        quiet_until[index] = std::min(text.find('\n', begin), text.size());
    });
    const auto add_lines = [&](std::string_view kind, const std::vector<std::size_t>& offsets) {
        for (const std::size_t offset : offsets) located.push_back({kind, offset});
        std::stable_sort(located.begin(), located.end(),
                         [](const auto& a, const auto& b) { return a.offset < b.offset; });
    };
    if (traits.pgpass) add_lines("password (PostgreSQL)", passwords_in_pgpass(text, from, to));
    if (traits.token_file) add_lines("token (Kubernetes)", tokens_in_token_file(text, from, to));
    if (traits.wireguard) add_lines("private key (WireGuard)", keys_of_wireguard(text, from, to));
    if (traits.erlang) add_lines("Erlang cookie", cookie_of_erlang(text, from, to));
    if (traits.wazuh) add_lines("key of an agent (Wazuh)", keys_of_wazuh(text, from, to));
    prefer_formats(text, located);
    return located;
}

std::vector<SecretInText> secrets_in(std::string_view path, std::string_view text) {
    std::vector<SecretInText> found;
    std::size_t counted = 0;
    std::uint64_t line = 1;
    for (const LocatedSecret& secret : locate_secrets(path, text, 0, text.size())) {
        const std::string_view before = text.substr(counted, secret.offset - counted);
        line += static_cast<std::uint64_t>(std::count(before.begin(), before.end(), '\n'));
        counted = secret.offset;
        const auto same_line = std::find_if(found.rbegin(), found.rend(), [&](const auto& other) {
            return other.line != line || other.kind == secret.kind;
        });
        const bool known = same_line != found.rend() && same_line->line == line;
        if (!known) found.push_back({secret.kind, line});
    }
    return found;
}

}  // namespace prebake::identity::secrets
