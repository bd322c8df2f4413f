#include <algorithm>
#include <string>

#include "agent/identity/secrets/judges.h"

namespace prebake::identity::secrets {
namespace {

using std::size_t;
using std::string_view;

/// What judges return if it is not a secret.
constexpr string_view kNothing{};

bool is_as_written(const SecretRule& rule, const Candidate& c) {
    return c.text.substr(c.begin, c.end - c.begin) == rule.needle;
}

/// The needle is not the end of a longer word.
bool begins_word(const Candidate& c) {
    return c.begin == 0 || !is_of(Alphabet::word, c.text[c.begin - 1]);
}

/// A secret access key soon after an ID, as in a list or in the password file of a mounted bucket.
bool is_aws_secret_near(string_view text, size_t offset) {
    constexpr size_t kNear = 256;
    constexpr size_t kLength = 40;
    const string_view near = text.substr(offset, kNear);
    for (size_t begin = 0; begin < near.size();) {
        const size_t length = run_length(near, begin, Alphabet::base64, kNear);
        const string_view value = near.substr(begin, length);
        const bool is_mixed =
            value.find_first_of("0123456789") != string_view::npos &&
            value.find_first_of("abcdefghijklmnopqrstuvwxyz") != string_view::npos &&
            value.find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") != string_view::npos;
        if (length == kLength && is_mixed && is_varied(value) && !is_placeholder(value))
            return true;
        begin += length + 1;
    }
    return false;
}

/// Skips white space, comment signs, quotation marks and escaped line ends: they separate the lines
/// of a key in JSON, YAML, programs and environment files.
size_t skip_between_lines(string_view text, size_t offset) {
    constexpr size_t kMost = 512;
    const size_t end = std::min(text.size(), offset + kMost);
    while (offset < end) {
        if (text[offset] == '\\') {
            while (offset < end && text[offset] == '\\') ++offset;
            const char escaped = byte_at(text, offset);
            if (escaped == 'n' || escaped == 'r' || escaped == 't') ++offset;
        } else if (string_view(" \t\r\n\"'#>").find(text[offset]) != string_view::npos) {
            ++offset;
        } else {
            break;
        }
    }
    return offset;
}

/// Whether a key's bytes start at `offset`, after headers (RFC 1421; OpenPGP: RFC 4880 6.2). Code
/// and documentation contain the first line of a key, but not what follows it.
bool is_key_body(string_view text, size_t offset) {
    constexpr size_t kMaxHeaders = 8;
    constexpr size_t kMaxHeader = 256;
    constexpr size_t kMinRun = 32;
    for (size_t headers = 0; headers <= kMaxHeaders; ++headers) {
        offset = skip_between_lines(text, offset);
        const size_t run = run_length(text, offset, Alphabet::base64, kMaxHeader);
        if (run >= kMinRun) return is_varied(text.substr(offset, run));
        const size_t name = run_length(text, offset, Alphabet::name, kMaxHeader);
        if (name == 0 || text.substr(std::min(offset + name, text.size()), 2) != ": ") return false;
        const string_view header = text.substr(offset, kMaxHeader);
        const size_t line_end = std::min(header.find('\n'), header.find("\\n"));
        if (line_end == string_view::npos) return false;
        offset += line_end;
    }
    return false;
}

}  // namespace

std::string_view judge_token(const SecretRule& rule, const Candidate& c) {
    if (!is_as_written(rule, c)) return kNothing;
    if (is_of(Alphabet::word, rule.needle.front()) && !begins_word(c)) return kNothing;
    const size_t length = run_length(c.text, c.end, rule.alphabet, kMaxToken);
    const string_view token = c.text.substr(c.end, length);
    const bool is_long_enough = length >= rule.at_least && length <= rule.at_most;
    const bool is_secret = is_long_enough && is_varied(token) && !is_placeholder(token);
    return is_secret ? rule.kind : kNothing;
}

std::string_view judge_openai(const SecretRule& rule, const Candidate& c) {
    constexpr size_t kMostBefore = 256;
    constexpr size_t kLeastBefore = 16;
    if (!is_as_written(rule, c)) return kNothing;
    size_t begin = c.begin;
    while (begin > 0 && c.begin - begin < kMostBefore && is_of(rule.alphabet, c.text[begin - 1]))
        --begin;
    const string_view before = c.text.substr(begin, c.begin - begin);
    const bool is_key = before.starts_with("sk-") && before.size() >= kLeastBefore &&
                        run_length(c.text, c.end, rule.alphabet, kMaxToken) >= rule.at_least;
    return is_key && is_varied(before) && !is_placeholder(before) ? rule.kind : kNothing;
}

std::string_view judge_ceph(const SecretRule& rule, const Candidate& c) {
    constexpr size_t kDigits = 38;  // 28 bytes, and "=="
    constexpr string_view kTypeAes("\x01\0", 2);
    constexpr string_view kSixteenBytes("\x10\0", 2);
    constexpr size_t kLengthAt = 10;
    if (!is_as_written(rule, c)) return kNothing;
    if (c.begin > 0 && is_of(rule.alphabet, c.text[c.begin - 1])) return kNothing;
    if (run_length(c.text, c.begin, rule.alphabet, kDigits + 1) != kDigits ||
        c.text.substr(c.begin + kDigits, 2) != "==") {
        return kNothing;
    }
    const string_view digits = c.text.substr(c.begin, kDigits);
    const std::string key = decode_base64(digits);
    const bool is_key = key.starts_with(kTypeAes) && key.substr(kLengthAt, 2) == kSixteenBytes;
    return is_key && is_varied(digits) ? rule.kind : kNothing;
}

std::string_view judge_slack(const SecretRule& rule, const Candidate& c) {
    const bool has_prefix =
        is_as_written(rule, c) && begins_word(c) &&
        string_view("abeoprs").find(byte_at(c.text, c.end)) != string_view::npos &&
        byte_at(c.text, c.end + 1) == '-';
    if (!has_prefix) return kNothing;
    const size_t length = run_length(c.text, c.end + 2, rule.alphabet, kMaxToken);
    const string_view token = c.text.substr(c.end + 2, length);
    const bool is_secret = length >= rule.at_least && token.front() >= '0' &&
                           token.front() <= '9' && is_varied(token) && !is_placeholder(token);
    return is_secret ? rule.kind : kNothing;
}

std::string_view judge_aws_id(const SecretRule& rule, const Candidate& c) {
    constexpr size_t kLength = 16;
    if (!is_as_written(rule, c) || !begins_word(c)) return kNothing;
    const size_t length = run_length(c.text, c.end, Alphabet::word, kLength + 1);
    const string_view id = c.text.substr(c.end, length);
    if (length != kLength || run_length(id, 0, rule.alphabet, kLength) != kLength ||
        !is_varied(id) || is_placeholder(id)) {
        return kNothing;
    }
    if (is_aws_secret_near(c.text, c.end + kLength)) return "AWS secret access key";
    return rule.needle == "AKIA" ? rule.kind : kNothing;
}

std::string_view judge_jwt(const SecretRule& rule, const Candidate& c) {
    if (!is_as_written(rule, c)) return kNothing;
    if (c.begin > 0 && is_of(Alphabet::token, c.text[c.begin - 1]) && c.text[c.begin - 1] != '=' &&
        c.text[c.begin - 1] != '/') {
        return kNothing;
    }
    constexpr size_t kMaxHeader = 4096;
    constexpr size_t kMaxPayload = 16384;
    constexpr size_t kMinPart = 16;
    const size_t header = run_length(c.text, c.begin, Alphabet::name, kMaxHeader);
    const size_t payload_at = c.begin + header + 1;
    if (header < kMinPart || byte_at(c.text, payload_at - 1) != '.') return kNothing;
    if (c.text.substr(payload_at, 3) != "eyJ") return kNothing;
    const size_t payload = run_length(c.text, payload_at, Alphabet::name, kMaxPayload);
    const size_t signature_at = payload_at + payload + 1;
    if (payload < kMinPart || byte_at(c.text, signature_at - 1) != '.') return kNothing;
    if (run_length(c.text, signature_at, Alphabet::name, kMinPart) < kMinPart) return kNothing;
    if (decode_base64(c.text.substr(c.begin, header)).find("\"alg\"") == std::string::npos) {
        return kNothing;
    }
    // The token in every introduction to JWT.
    const std::string claims = decode_base64(c.text.substr(payload_at, payload));
    return claims.find("\"1234567890\"") == std::string::npos ? rule.kind : kNothing;
}

std::string_view judge_azure_sas(const SecretRule& rule, const Candidate& c) {
    if (c.begin == 0 || string_view("?&;\"'").find(c.text[c.begin - 1]) == string_view::npos) {
        return kNothing;
    }
    const size_t length = run_length(c.text, c.end, rule.alphabet, kMaxToken);
    const string_view signature = c.text.substr(c.end, length);
    if (length < rule.at_least || !is_varied(signature)) return kNothing;
    const size_t from = c.begin - std::min(c.begin, kMaxLookBehind);
    const string_view around = c.text.substr(from, c.end + length + kMaxLookBehind - from);
    return around.find("sv=") == string_view::npos ? kNothing : rule.kind;
}

std::string_view judge_pem(const SecretRule& rule, const Candidate& c) {
    if (!is_as_written(rule, c)) return kNothing;
    constexpr size_t kMaxLabel = 64;
    constexpr string_view kDashes = "-----";
    const string_view rest = c.text.substr(c.end, kMaxLabel);
    const size_t label_end = rest.find(kDashes);
    if (label_end == string_view::npos) return kNothing;
    const string_view label = rest.substr(0, label_end);
    const bool is_pgp = label == "PGP PRIVATE KEY BLOCK";
    if (!is_pgp && !label.ends_with("PRIVATE KEY")) return kNothing;
    if (!is_key_body(c.text, c.end + label_end + kDashes.size())) return kNothing;
    if (is_pgp) return "private key (PGP)";
    return label == "OPENSSH PRIVATE KEY" ? "private key (OpenSSH)" : rule.kind;
}

std::string_view judge_pem_in_base64(const SecretRule& rule, const Candidate& c) {
    if (!is_as_written(rule, c)) return kNothing;
    if (run_length(c.text, c.begin, rule.alphabet, rule.at_least) < rule.at_least) return kNothing;
    constexpr size_t kFirstLine = 80;
    const std::string beginning = decode_base64(c.text.substr(c.begin, kFirstLine));
    return beginning.find("PRIVATE KEY-----") == std::string::npos ? kNothing : rule.kind;
}

std::string_view judge_putty(const SecretRule& rule, const Candidate& c) {
    size_t offset = c.end;
    while (offset < c.end + 4 && byte_at(c.text, offset) >= '0' && byte_at(c.text, offset) <= '9')
        ++offset;
    if (!is_as_written(rule, c) || offset == c.end) return kNothing;
    return is_key_body(c.text, offset) ? rule.kind : kNothing;
}

}  // namespace prebake::identity::secrets
