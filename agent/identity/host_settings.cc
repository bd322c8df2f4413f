#include "agent/identity/host_settings.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>

#include "agent/base/ascii.h"
#include "agent/base/text.h"

namespace prebake::identity {
namespace {

/// Shorter names ("k8s", "rke2") are also names of programs, directories and labels.
constexpr std::size_t kMinDistinctive = 5;
/// Names that images have before anybody chooses one. As values of settings they are systems.
constexpr std::array<std::string_view, 14> kGenericNames{
    "alma",  "amazon",   "amazonlinux", "centos", "debian", "default", "fedora",
    "linux", "opensuse", "oracle",      "rhel",   "rocky",  "server",  "ubuntu"};

bool contains_one_of(std::string_view text, std::initializer_list<std::string_view> parts) {
    return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) {
        return text.find(part) != std::string_view::npos;
    });
}

/// "base-vm", "vm1", "a.example": not a word of a language.
bool is_made_up(std::string_view name) {
    return std::any_of(name.begin(), name.end(),
                       [](char c) { return is_digit(c) || c == '-' || c == '.'; });
}

/// The setting that the next word is the value of: `hostname: `, `NODE_NAME="`.
std::string setting_before(std::string_view line_before) {
    const std::size_t last = line_before.find_last_not_of(" \t:=\"'[(>");
    if (last == std::string_view::npos || last + 1 == line_before.size()) return {};
    std::size_t begin = last + 1;
    while (begin > 0 && is_word_character(line_before[begin - 1])) --begin;
    return lower_case(line_before.substr(begin, last + 1 - begin));
}

/// The setting that the next word is one value of several of: `mydestination = a, `,
/// `ServerAlias a `, `tls-san: [a, `.
std::string setting_of_list(std::string_view line_before) {
    const auto begin = std::find_if(line_before.begin(), line_before.end(), is_word_character);
    const auto end = std::find_if_not(begin, line_before.end(), is_word_character);
    std::string_view values(end, line_before.end());
    const std::size_t separator = values.find_first_not_of(" \t\"'");
    if (separator == std::string_view::npos) return {};
    if (values[separator] == '=' || values[separator] == ':') values.remove_prefix(separator + 1);
    const bool is_list =
        values.find_first_of("=:") == std::string_view::npos &&
        std::string_view(" \t,[\"'").find(line_before.back()) != std::string_view::npos;
    return is_list ? lower_case(std::string_view(begin, end)) : std::string();
}

/// The setting that a list in YAML belongs to, of which the next word is an item.
std::string setting_of_item(const Before& before) {
    const std::size_t dash = before.line.find_first_not_of(' ');
    if (dash == std::string_view::npos || before.line[dash] != '-' ||
        before.line.find_first_not_of(" \"'", dash + 1) != std::string_view::npos) {
        return {};
    }
    for (std::string_view above = before.lines_above; !above.empty();) {
        above.remove_suffix(1);  // the line end
        const std::size_t line_end = above.find_last_of('\n');
        const std::string_view line = above.substr(line_end + 1);  // npos + 1 is 0
        above = above.substr(0, line_end == std::string_view::npos ? 0 : line_end + 1);
        const std::size_t first = line.find_first_not_of(' ');
        if (first == std::string_view::npos || line[first] == '#' || first > dash) continue;
        if (line[first] == '-' && first == dash) continue;  // another item
        const std::size_t colon = line.find_last_not_of(" \t\r");
        if (line[colon] != ':') return {};
        return setting_before(line.substr(0, colon + 1));
    }
    return {};
}

bool is_of_host(std::string_view setting) {
    return contains_one_of(setting, {"host", "fqdn", "node"});
}

/// Whether hosts are among the values of a setting, as well as other things.
bool may_be_of_host(std::string_view setting, std::string_view name) {
    if (contains_one_of(setting, {"server", "domain", "destination", "alias", "altname"}))
        return true;
    for (std::string_view rest = setting; !rest.empty();) {
        const std::size_t end = rest.find_first_of("-_.");
        if (rest.substr(0, end) == "san" || rest.substr(0, end) == "sans") return true;
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
    // Users and programs have names, too, but few of them look like a host's.
    return is_made_up(name) && contains_one_of(setting, {"name"}) &&
           !contains_one_of(setting, {"user"});
}

}  // namespace

bool is_word_character(char c) {
    return is_alphanumeric(c) || c == '.' || c == '-' || c == '_';
}

bool is_comment(std::string_view line_before) {
    const std::string_view line = trimmed(line_before);
    return line.starts_with('#') || line.starts_with(';') || line.starts_with("//");
}

bool is_distinctive(std::string_view name) {
    return name.size() >= kMinDistinctive && is_made_up(name);
}

bool is_host_setting(const Before& before, std::string_view name) {
    const std::string direct = setting_before(before.line);
    const std::string parent = setting_of_item(before);
    if (is_of_host(direct) || is_of_host(parent)) return true;
    if (std::count(kGenericNames.begin(), kGenericNames.end(), name) != 0) return false;
    return may_be_of_host(direct, name) || may_be_of_host(parent, name) ||
           may_be_of_host(setting_of_list(before.line), name);
}

}  // namespace prebake::identity
