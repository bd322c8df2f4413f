#include <algorithm>
#include <utility>

#include "agent/base/text.h"
#include "agent/identity/hosts_block.h"
#include "agent/identity/items/builder_names.h"
#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/hosts.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kPath = "/etc/hosts";
constexpr std::string_view kOwnNameAddress = "127.0.1.1";  // Debian Reference, 5.1.1

bool is_local(std::string_view name) {
    return name.starts_with("localhost") || name.starts_with("ip6-");
}

/// The line without the builder's names; empty if no name is left.
std::string sealed_line(std::string_view line, const std::vector<std::string>& builder_names) {
    const std::vector<std::string_view> words = words_of(line);
    if (words.size() < 2) return std::string(line);
    std::string kept;
    bool any_gone = false;
    for (auto name = words.begin() + 1; name != words.end(); ++name) {
        if (is_local(*name) ||
            (words.front() != kOwnNameAddress && !names_builder(*name, builder_names))) {
            kept.append(" ").append(*name);
        } else {
            any_gone = true;
        }
    }
    if (!any_gone) return std::string(line);
    return kept.empty() ? kept : std::string(words.front()) + kept;
}

}  // namespace

std::optional<std::string> sealed_hosts(std::string_view text,
                                        const std::vector<std::string>& builder_names) {
    const std::string without_ours = with_hosts_block(text, {});
    std::string sealed;
    bool has_localhost = false;
    for (const std::string_view line : lines_of(without_ours)) {
        const std::string kept = sealed_line(line, builder_names);
        if (kept.empty() && !line.empty()) continue;
        const std::vector<std::string_view> words = words_of(kept);
        has_localhost = has_localhost || std::count(words.begin(), words.end(), "localhost") != 0;
        sealed.append(kept).append("\n");
    }
    if (!has_localhost) sealed.insert(0, "127.0.0.1 localhost\n::1 localhost ip6-localhost\n");
    const bool is_same = sealed == text || sealed == std::string(text) + "\n";
    return is_same ? std::nullopt : std::optional(std::move(sealed));
}

Changes hosts_changes(const machine::Root& root, const ItemSettings&) {
    const std::optional<std::string> text = read_regular(root, kPath);
    if (!text) return {};
    std::optional<std::string> sealed = sealed_hosts(*text, builder_names(root));
    if (!sealed) return {};
    return {{Change::Kind::write, std::string(kPath), std::move(*sealed)}};
}

}  // namespace prebake::identity
