#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace prebake::machine {

// The formats that texts from firmware and metadata services must have before we use them.

/// "i-" and 8 or 17 lower-case hex digits.
bool is_ec2_instance_id(std::string_view text);

/// 8-4-4-4-12 lower-case hex digits.
bool is_uuid(std::string_view text);

/// 1 to `limit` letters, digits and characters of `also`.
bool is_word(std::string_view text, std::size_t limit, std::string_view also);

/// 1 to `limit` decimal digits.
bool is_number(std::string_view text, std::size_t limit);

/// A host name by RFC 1123 2.1: labels of 1 to 63 letters, digits and inner hyphens, 253 characters
/// in total, no dot at the end.
bool is_dns_name(std::string_view text);

bool is_ipv4(std::string_view text);

/// Printable ASCII with spaces, 1 to `limit` characters.
bool is_printable(std::string_view text, std::size_t limit);

/// The text for a journal: characters other than printable ASCII become '?' (JSON must be UTF-8,
/// which programs and files do not guarantee), and text after 500 characters is dropped.
std::string plain_text(std::string text);

}  // namespace prebake::machine
