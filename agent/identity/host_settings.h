#pragma once

#include <string_view>

namespace prebake::identity {

// Words in configuration files, and what says that one is the name of a host.

/// What stands before a word.
struct Before {
    std::string_view line;         ///< on the same line
    std::string_view lines_above;  ///< with their line ends
};

/// Letters, digits and ".-_".
bool is_word_character(char c);

/// A line that starts with '#', ';' or "//".
bool is_comment(std::string_view line_before);

/// "base-vm", "builder7", "a.example": more than a word that files have for other reasons.
bool is_distinctive(std::string_view name);

/// Whether the next word, `name`, is the value of a setting for a host (`hostname: `,
/// `NODE_NAME="`), or one of its values: `mydestination = a, `, a list in YAML. Names of systems
/// ("debian") count only behind "host", "fqdn" and "node". In lower case. Pure.
bool is_host_setting(const Before& before, std::string_view name);

}  // namespace prebake::identity
