#pragma once

/// Character classes of ASCII, independent of the locale (unlike `<cctype>`).
namespace prebake {

constexpr bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
constexpr bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}
constexpr bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}
constexpr bool is_alphanumeric(char c) {
    return is_lower(c) || is_upper(c) || is_digit(c);
}
/// A hexadecimal digit, 'a' to 'f' in lower case only.
constexpr bool is_lower_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f');
}
/// A hexadecimal digit in either case.
constexpr bool is_hex(char c) {
    return is_lower_hex(c) || (c >= 'A' && c <= 'F');
}
/// The white space of the C locale: space, \t, \n, \v, \f, \r.
constexpr bool is_white_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}
/// '!' to '~', and the space.
constexpr bool is_printable(char c) {
    return c >= ' ' && c <= '~';
}
constexpr char to_lower(char c) {
    return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace prebake
