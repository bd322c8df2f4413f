#include "agent/oci/reference.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "agent/base/ascii.h"
#include "agent/base/error.h"
#include "agent/oci/quoted.h"

// The grammar of github.com/distribution/reference. A *_problem() function returns why a part is
// invalid, or an empty string if it is valid.
namespace prebake::oci {
namespace {

constexpr std::string_view kDefaultRegistry = "docker.io";
constexpr std::string_view kLegacyDefaultRegistry = "index.docker.io";
constexpr std::string_view kOfficialPrefix = "library/";
constexpr std::string_view kDefaultTag = "latest";
/// Newer parsers limit the repository alone; containerd 1.6 includes the registry. We use the
/// stricter limit, because both have to read baked names.
constexpr std::size_t kMaxNameLength = 255;
constexpr std::size_t kMaxTagLength = 128;
constexpr std::size_t kImageIdLength = 64;

bool is_separator(char c) {
    return c == '.' || c == '_' || c == '-';
}

bool has_upper(std::string_view text) {
    return std::any_of(text.begin(), text.end(), is_upper);
}

/// Calls `check` for each part between `delimiter`s until one has a problem.
template <typename Check>
std::string first_problem(std::string_view text, char delimiter, Check check) {
    for (;;) {
        const auto end = text.find(delimiter);
        std::string problem = check(text.substr(0, end));
        if (!problem.empty() || end == std::string_view::npos) return problem;
        text.remove_prefix(end + 1);
    }
}

/// One '.', one or two '_', any number of '-': they alone may stand between letters and digits.
bool is_separator_run(std::string_view run) {
    return run == "." || run == "_" || run == "__" || run.find_first_not_of('-') == run.npos;
}

std::string component_problem(std::string_view component) {
    if (component.empty()) return "two '/' follow each other, or one starts or ends it";
    for (const char c : component) {
        if (is_upper(c)) return "the repository has the upper-case letter " + quoted(c);
        if (!is_lower(c) && !is_digit(c) && !is_separator(c)) {
            return "the repository has the character " + quoted(c);
        }
    }
    if (is_separator(component.front()) || is_separator(component.back())) {
        return quoted(component) + " does not start and end with a letter or digit";
    }
    for (std::size_t begin = 0; begin < component.size();) {
        std::size_t end = begin;
        while (is_separator(component[end])) ++end;
        const std::string_view run = component.substr(begin, end - begin);
        if (!is_separator_run(run)) {
            return quoted(component) + " has the separator " + quoted(run) +
                   "; allowed are '.', '_', '__' and any number of '-'";
        }
        begin = end + 1;
    }
    return {};
}

std::string repository_problem(std::string_view repository) {
    if (repository.empty()) return "it has no repository";
    return first_problem(repository, '/', component_problem);
}

std::string port_problem(std::string_view port) {
    if (port.empty()) return "the registry's port is empty";
    if (std::all_of(port.begin(), port.end(), is_digit)) return {};
    return "the registry's port " + quoted(port) + " is not a number";
}

std::string ipv6_registry_problem(std::string_view registry) {
    const auto end = registry.find(']');
    if (end == std::string_view::npos) return "the registry's IPv6 address lacks its ']'";
    const std::string_view address = registry.substr(1, end - 1);
    if (address.empty() || !std::all_of(address.begin(), address.end(),
                                        [](char c) { return is_hex(c) || c == ':'; })) {
        return quoted(registry) + " holds no IPv6 address of hex digits and ':' (without a zone)";
    }
    const std::string_view rest = registry.substr(end + 1);
    if (rest.empty()) return {};
    if (rest.front() != ':') return "the registry's IPv6 address is not followed by ':' and a port";
    return port_problem(rest.substr(1));
}

std::string host_label_problem(std::string_view label) {
    if (label.empty()) return "the registry's host has an empty label";
    for (const char c : label) {
        if (!is_alphanumeric(c) && c != '-') {
            return "the registry's host has the character " + quoted(c);
        }
    }
    if (label.front() == '-' || label.back() == '-') {
        return "the registry's host has a label that starts or ends with '-'";
    }
    return {};
}

std::string registry_problem(std::string_view registry) {
    if (registry.starts_with('[')) return ipv6_registry_problem(registry);
    const auto colon = registry.find(':');
    if (colon != registry.rfind(':')) {
        return "an IPv6 address of a registry needs brackets, as in [::1]:5000/app";
    }
    // The grammar's host is optional. A first component that is not a host name but a valid path
    // (in practice with an underscore, "my_registry.lan/app") is accepted, and containerd connects
    // to it.
    if (colon == std::string_view::npos && component_problem(registry).empty()) return {};
    std::string problem = first_problem(registry.substr(0, colon), '.', host_label_problem);
    if (!problem.empty() || colon == std::string_view::npos) return problem;
    return port_problem(registry.substr(colon + 1));
}

std::string tag_problem(std::string_view tag) {
    if (tag.empty()) return "the tag after the ':' is empty";
    for (const char c : tag) {
        if (!is_alphanumeric(c) && !is_separator(c))
            return "the tag has the character " + quoted(c);
    }
    if (tag.front() == '.' || tag.front() == '-') {
        return "the tag starts with " + quoted(tag.front());
    }
    if (tag.size() > kMaxTagLength) {
        return "the tag has " + std::to_string(tag.size()) + " characters, allowed are 128";
    }
    return {};
}

/// `text` for an error message, without "user:password" before an '@'.
std::string without_credentials(std::string_view text) {
    const auto at = text.rfind('@');
    if (at == std::string_view::npos) return quoted(text);
    std::string_view before = text.substr(0, at);
    if (const auto scheme = before.find("://"); scheme != before.npos)
        before.remove_prefix(scheme + 3);
    const std::string_view after = text.substr(at + 1);
    const bool is_path = after.find('/') != after.npos;
    const bool is_digest =
        !is_path && (after.starts_with("sha256:") || after.starts_with("sha512:"));
    const bool has_password = before.find(':') != before.npos;
    if (is_digest || !(is_path || has_password)) return quoted(text);
    return quoted("***@" + std::string(after));
}

[[noreturn]] void throw_invalid(
    std::string_view text, const std::string& reason,
    const std::string& next_step = "write [REGISTRY/]REPOSITORY[:TAG][@sha256:DIGEST]",
    Errc code = Errc::usage) {
    throw Error(code, "invalid image reference " + without_credentials(text) + ": " + reason,
                next_step);
}

/// Refuses the typical mistakes of people and templates, before the text is parsed.
void refuse_mistakes(std::string_view text) {
    if (text.empty()) throw_invalid(text, "it is empty");
    if (std::any_of(text.begin(), text.end(), is_white_space)) {
        throw_invalid(text, is_white_space(text.front()) || is_white_space(text.back())
                                ? "there is white space before or after it"
                                : "it contains white space");
    }
    if (const auto scheme = text.find("://"); scheme != std::string_view::npos) {
        throw_invalid(text, "it is a URL", "leave out " + quoted(text.substr(0, scheme + 3)));
    }
    if (text.size() == kImageIdLength && std::all_of(text.begin(), text.end(), is_lower_hex)) {
        throw_invalid(text, "64 hex digits alone are an image ID, not a name");
    }
    const auto at = text.find('@');
    if (at != text.rfind('@')) throw_invalid(text, "it has more than one '@'");
    if (text.find('/', at) != std::string_view::npos) {
        throw_invalid(text, "a '/' follows the '@'",
                      "leave out credentials; they come from the Docker configuration file");
    }
}

struct Split {
    std::string registry;
    std::string remainder;  ///< repository, tag and digest
};

/// The text before the first '/' is a registry if it looks like a host; all other repositories are
/// on Docker Hub.
Split split_registry(std::string_view text) {
    const auto slash = text.find('/');
    const std::string_view first = text.substr(0, slash);
    Split split{.registry = std::string(kDefaultRegistry), .remainder = std::string(text)};
    if (slash != std::string_view::npos &&
        (first == "localhost" || first.find_first_of(".:") != first.npos || has_upper(first))) {
        if (first != kLegacyDefaultRegistry) split.registry = first;
        split.remainder = text.substr(slash + 1);
    }
    if (split.registry == kDefaultRegistry && split.remainder.find('/') == std::string::npos) {
        split.remainder.insert(0, kOfficialPrefix);
    }
    return split;
}

Digest parse_digest(std::string_view text, std::string_view digest) {
    try {
        return Digest::parse(digest);
    } catch (const Error& error) {
        throw_invalid(text, error.message(), error.next_step(), error.code());
    }
}

}  // namespace

Reference Reference::parse(std::string_view text) {
    refuse_mistakes(text);
    const Split split = split_registry(text);
    std::string_view rest = split.remainder;

    Reference reference;
    reference.registry = split.registry;
    if (const auto at = rest.find('@'); at != std::string_view::npos) {
        reference.digest = parse_digest(text, rest.substr(at + 1));
        rest = rest.substr(0, at);
    }
    if (const auto colon = rest.find(':'); colon != std::string_view::npos) {
        reference.tag = rest.substr(colon + 1);
        rest = rest.substr(0, colon);
    }
    reference.repository = rest;

    if (std::string problem = registry_problem(reference.registry); !problem.empty()) {
        throw_invalid(text, problem);
    }
    if (std::string problem = repository_problem(reference.repository); !problem.empty()) {
        throw_invalid(text, problem);
    }
    if (reference.tag) {
        if (std::string problem = tag_problem(*reference.tag); !problem.empty())
            throw_invalid(text, problem);
    }
    if (const auto length = reference.name().size(); length > kMaxNameLength) {
        throw_invalid(text,
                      "its name has " + std::to_string(length) + " characters, allowed are 255");
    }
    if (!reference.tag && !reference.digest) {
        reference.tag = kDefaultTag;
        reference.tag_was_implied = true;
    }
    return reference;
}

std::string Reference::str() const {
    std::string text = name();
    if (tag) text += ":" + *tag;
    if (digest) text += "@" + digest->str();
    return text;
}

std::optional<std::string> Reference::tag_name() const {
    if (!tag) return std::nullopt;
    return name() + ":" + *tag;
}

std::string Reference::registry_host() const {
    if (registry.starts_with('[')) return registry.substr(1, registry.find(']') - 1);
    return registry.substr(0, registry.find(':'));
}

}  // namespace prebake::oci
