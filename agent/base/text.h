#pragma once

#include <string>
#include <string_view>
#include <vector>

/// Text as programs read it. Pure.
namespace prebake {

/// ASCII letters only: independent of the locale.
std::string lower_case(std::string_view text);

/// The lines of a text, without their ends.
std::vector<std::string_view> lines_of(std::string_view text);

/// Without white space at both ends.
std::string_view trimmed(std::string_view text);

/// A field of a line whose fields end with ':', as in passwd(5); the first is 0. Empty if the line
/// has fewer.
std::string_view field_of(std::string_view line, int number);

/// "a, b, c"
template <typename Words>
std::string joined(const Words& words, std::string_view separator = ", ") {
    std::string text;
    for (const std::string_view word : words) {
        if (!text.empty()) text += separator;
        text += word;
    }
    return text;
}

}  // namespace prebake
