#include "agent/docker/refusal.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "agent/base/ascii.h"
#include "agent/base/format.h"
#include "agent/base/text.h"

namespace prebake::docker {
namespace {

constexpr std::size_t kMaxMessageBytes = 500;

constexpr std::string_view kLogIn = "check the credentials for the registry (docker login)";
constexpr std::string_view kLater = "try again later";
constexpr std::string_view kJournal = "see journalctl -u docker";
constexpr std::string_view kNetwork =
    "check dockerd's way to the registry: its proxies and mirrors in /etc/docker/daemon.json, and "
    "the DNS settings of this machine";

struct Meaning {
    Errc code;
    std::string_view next_step;
};

/// A word of a message, in lower case, and what it means. The first one that occurs counts.
struct Word {
    std::string_view word;
    Meaning meaning;
};

constexpr Meaning kNoSpace{Errc::no_space,
                           "free or add disk space where Docker keeps its data (docker system df)"};
constexpr Meaning kRateLimited{Errc::rate_limited,
                               "try again later, or log in (docker login): many registries allow "
                               "more to clients that do"};
constexpr Meaning kUntrusted{
    Errc::permission_denied,
    "put the CA of the registry into /etc/docker/certs.d/HOST:PORT/ca.crt"};
constexpr Meaning kPlain{Errc::failed_precondition,
                         "add the registry to insecure-registries in /etc/docker/daemon.json, if "
                         "it is to be used without TLS"};
constexpr Meaning kUnauthenticated{Errc::unauthenticated, kLogIn};
constexpr Meaning kDenied{Errc::permission_denied, kLogIn};
constexpr Meaning kDamaged{Errc::corrupt, "push the image again"};
constexpr Meaning kOtherPlatform{Errc::not_found, "check the platforms of the image"};
constexpr Meaning kTimedOut{Errc::timed_out, kNetwork};
constexpr Meaning kUnreachable{Errc::unavailable, kNetwork};
constexpr Meaning kEnding{Errc::unavailable,
                          "try again when dockerd runs (systemctl status docker)"};
constexpr Meaning kMissing{Errc::not_found, "check its name, tag and digest"};

constexpr std::array kWords{
    Word{"no space left on device", kNoSpace},
    Word{"disk quota exceeded", kNoSpace},
    Word{"toomanyrequests", kRateLimited},
    Word{"too many requests", kRateLimited},
    Word{"rate limit", kRateLimited},
    Word{"x509:", kUntrusted},
    Word{"server gave http response to https client", kPlain},
    Word{"unauthorized", kUnauthenticated},
    Word{"authentication required", kUnauthenticated},
    Word{"no basic auth credentials", kUnauthenticated},
    Word{"authorization failed", kUnauthenticated},
    Word{"docker login", kUnauthenticated},
    Word{"permission denied", {Errc::permission_denied, kJournal}},  // of its own files
    Word{"denied", kDenied},
    Word{"forbidden", kDenied},
    Word{"layer verification failed", kDamaged},
    Word{"unexpected commit digest", kDamaged},
    Word{"don't match image configuration", kDamaged},
    Word{"wrong diff id", kDamaged},
    Word{"does not match the specified platform", kOtherPlatform},
    Word{"does not provide the specified platform", kOtherPlatform},
    Word{"no matching manifest", kOtherPlatform},
    Word{"no match for platform", kOtherPlatform},
    Word{"deadline exceeded", kTimedOut},
    Word{"timeout", kTimedOut},
    Word{"timed out", kTimedOut},
    Word{"context canceled", kEnding},
    Word{"connection refused", kUnreachable},
    Word{"connection reset", kUnreachable},
    Word{"broken pipe", kUnreachable},
    Word{"no such host", kUnreachable},
    Word{"server misbehaving", kUnreachable},
    Word{"temporary failure in name resolution", kUnreachable},
    Word{"network is unreachable", kUnreachable},
    Word{"no route to host", kUnreachable},
    Word{"unexpected http status: 5", kUnreachable},
    Word{"500 internal server error", {Errc::unavailable, kLater}},
    Word{"502 bad gateway", {Errc::unavailable, kLater}},
    Word{"503 service unavailable", {Errc::unavailable, kLater}},
    Word{"504 gateway", {Errc::unavailable, kLater}},
    Word{"unexpected eof", kUnreachable},
    Word{": eof", kUnreachable},
    Word{"manifest unknown", kMissing},
    Word{"not found", kMissing},
    Word{"no such image", kMissing},
    Word{"does not exist", kMissing},
};

Meaning meaning_of(int status) {
    switch (status) {
        case 401:
            return kUnauthenticated;
        case 403:  // an authorization plugin of dockerd
            return {Errc::permission_denied, "check the authorization plugins of dockerd"};
        case 404:
            return kMissing;
        case 409:
            return {Errc::conflict, ""};
        case 429:
            return kRateLimited;
        case 502:
        case 503:
        case 504:
            return {Errc::unavailable, kLater};
        default:
            break;
    }
    if (status >= 400 && status < 500) return {Errc::unsupported, ""};
    return {Errc::failed_precondition, kJournal};
}

/// `text` with `replacement` in place of each occurrence of `part`.
std::string replaced(std::string text, std::string_view part, std::string_view replacement) {
    if (part.empty()) return text;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos;) {
        text.replace(at, part.size(), replacement);
        at += replacement.size();
    }
    return text;
}

bool is_part_of_name(char c) {
    return is_alphanumeric(c) || c == '.' || c == '_' || c == '-';
}

/// `text` without the words that are `name`: "a" is one in "r.example/a:1", but not in "denied".
std::string without_name(std::string text, const std::string& name) {
    for (std::size_t at = 0; !name.empty() && (at = text.find(name, at)) != std::string::npos;) {
        const std::size_t end = at + name.size();
        const bool is_word = (at == 0 || !is_part_of_name(text[at - 1])) &&
                             (end == text.size() || !is_part_of_name(text[end]));
        if (is_word) text.erase(at, name.size());
        if (!is_word) ++at;
    }
    return text;
}

Meaning meaning_of(const Refused& refused) {
    std::string reason = lower_case(refused.message);
    for (const std::string& name : refused.names) reason = without_name(reason, lower_case(name));
    const auto* const found = std::ranges::find_if(
        kWords, [&](const Word& each) { return reason.find(each.word) != std::string::npos; });
    return found == kWords.end() ? meaning_of(refused.status) : found->meaning;
}

}  // namespace

Error error_of(const Refused& refused) {
    const Meaning meaning = meaning_of(refused);
    std::string message = refused.message;
    for (const std::string& secret : refused.secrets) message = replaced(message, secret, "…");
    message = shorten(trimmed(message), kMaxMessageBytes);
    if (message.empty()) message = "it answers " + std::to_string(refused.status);
    return Error(meaning.code, "dockerd cannot " + refused.work + ": " + message,
                 std::string(meaning.next_step));
}

}  // namespace prebake::docker
