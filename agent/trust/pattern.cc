#include "agent/trust/pattern.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "agent/base/ascii.h"
#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/text.h"

namespace prebake::trust {
namespace {

constexpr std::string_view kWildcards = "*?";
/// The longest name of a repository has 255 characters.
constexpr std::size_t kMaxPatternLength = 512;

const std::string kHub = "docker.io";
/// All of them serve what is on Docker Hub.
constexpr std::array<std::string_view, 3> kHubNames = {"index.docker.io", "registry-1.docker.io",
                                                       "registry.hub.docker.com"};

bool has_wildcard(std::string_view text) {
    return text.find_first_of(kWildcards) != std::string_view::npos;
}

bool is_wildcard(char c) {
    return kWildcards.find(c) != std::string_view::npos;
}

[[noreturn]] void refuse_pattern(std::string_view text, const std::string& reason,
                                 const std::string& next_step) {
    throw Error(Errc::usage, "\"" + printable(text) + "\" matches no repository: " + reason,
                next_step);
}

/// An IPv6 address can be written in many ways; as it is if it is none.
std::string canonical_address(std::string_view host) {
    if (!host.starts_with('[') || !host.ends_with(']')) return std::string(host);
    in6_addr address{};
    std::array<char, INET6_ADDRSTRLEN> text{};
    const std::string inner(host.substr(1, host.size() - 2));
    if (::inet_pton(AF_INET6, inner.c_str(), &address) != 1 ||
        ::inet_ntop(AF_INET6, &address, text.data(), text.size()) == nullptr) {
        return std::string(host);
    }
    return "[" + std::string(text.data()) + "]";
}

/// The one spelling of a registry, given in lower case, that stands for all of them: without the
/// port of HTTPS, and with Docker Hub's usual name.
std::string canonical_registry(std::string_view registry) {
    std::string host(registry);
    std::string port;
    const std::size_t colon = registry.rfind(':');
    if (colon != std::string_view::npos && registry.find(']', colon) == std::string_view::npos) {
        host = registry.substr(0, colon);
        port = registry.substr(colon);
        const std::size_t zeros = port.find_first_not_of('0', 1);
        if (zeros != std::string::npos) port.erase(1, zeros - 1);
        if (port == ":443") port.clear();
    }
    if (host.ends_with('.')) host.pop_back();  // the root of the DNS
    host = canonical_address(host);
    const bool is_hub = std::ranges::find(kHubNames, host) != kHubNames.end() && port.empty();
    return (is_hub ? kHub : host) + port;
}

/// The ways to write a repository, given in lower case, that a rule may mean: as it is, and with
/// the usual spelling of the registry, without and with the port of HTTPS.
std::vector<std::string> spellings_of(const std::string& name) {
    const std::size_t slash = std::min(name.find('/'), name.size());
    const std::string registry = canonical_registry(name.substr(0, slash));
    std::string repository = name.substr(slash);
    if (registry == kHub && repository.rfind('/') == 0) repository.insert(0, "/library");
    std::vector<std::string> spellings{name, registry + repository};
    const bool has_port = !registry.ends_with(']') && registry.find(':') != std::string::npos;
    if (!has_port) spellings.push_back(registry + ":443" + repository);
    return spellings;
}

bool is_allowed(char c) {
    return is_alphanumeric(c) || std::string_view("/.:-_[]*?").find(c) != std::string_view::npos;
}

/// Refuses what would silently match nothing, so that images went unchecked.
void require_matchable(std::string_view text) {
    constexpr const char* kForm = "write REGISTRY/REPOSITORY, such as \"docker.io/library/*\"";
    if (text.empty()) refuse_pattern(text, "it is empty", kForm);
    if (text.size() > kMaxPatternLength) {
        refuse_pattern(text.substr(0, 40), "it is longer than any name", kForm);
    }
    if (text.find("://") != std::string_view::npos) {
        refuse_pattern(text, "it is a URL", "leave out the part up to \"//\"");
    }
    if (text.find('@') != std::string_view::npos) {
        refuse_pattern(text, "rules are about repositories, not digests", "leave out the digest");
    }
    const auto odd = std::find_if_not(text.begin(), text.end(), is_allowed);
    if (odd != text.end()) {
        refuse_pattern(text, std::string("no name contains '") + printable({odd, odd + 1}) + "'",
                       "wildcards are *, ** and ?");
    }
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) {
        if (text.starts_with("**")) return;
        refuse_pattern(text, "the registry is missing",
                       has_wildcard(text) ? "write \"**\" for all repositories"
                                          : "write \"docker.io/library/" + std::string(text) +
                                                "\" for the image of Docker Hub");
    }
    if (text.find(':', text.rfind('/')) != std::string_view::npos) {
        refuse_pattern(text, "rules are about repositories, not tags", "leave out the tag");
    }
    const std::string_view registry = text.substr(0, slash);
    const std::string_view repository = text.substr(slash + 1);
    if (has_wildcard(registry)) return;
    if (registry != "localhost" && registry.find_first_of(".:") == std::string_view::npos) {
        refuse_pattern(text, "\"" + std::string(registry) + "\" is no registry",
                       "write \"docker.io/" + std::string(text) + "\" for Docker Hub");
    }
    if (canonical_registry(registry) == kHub && repository.find('/') == std::string_view::npos &&
        repository.find("**") == std::string_view::npos) {
        refuse_pattern(text, "Docker Hub's repositories have two parts",
                       has_wildcard(repository)
                           ? "write \"docker.io/**\" for all of Docker Hub"
                           : "write \"docker.io/library/" + std::string(repository) + "\"");
    }
}

/// A character of the pattern, or a wildcard.
enum class Piece { literal, one, any_in_component, any };

bool is_match(std::string_view pattern, std::string_view name) {
    // reached[i]: the pattern up to here matches the first i characters. Takes as many steps as the
    // product of both lengths, whatever the pattern is.
    std::vector<bool> reached(name.size() + 1);
    reached[0] = true;
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        Piece piece = Piece::literal;
        if (pattern[at] == '?') piece = Piece::one;
        if (pattern[at] == '*') piece = Piece::any_in_component;
        if (pattern.compare(at, 2, "**") == 0) {
            piece = Piece::any;
            ++at;
        }
        std::vector<bool> next(name.size() + 1);
        for (std::size_t i = 0; i <= name.size(); ++i) {
            const bool is_in_component = i > 0 && name[i - 1] != '/';
            switch (piece) {
                case Piece::literal:
                    next[i] = i > 0 && reached[i - 1] && name[i - 1] == pattern[at];
                    break;
                case Piece::one:
                    next[i] = is_in_component && reached[i - 1];
                    break;
                case Piece::any_in_component:
                    next[i] = reached[i] || (is_in_component && next[i - 1]);
                    break;
                case Piece::any:
                    next[i] = reached[i] || (i > 0 && next[i - 1]);
                    break;
            }
        }
        reached = std::move(next);
    }
    return reached[name.size()];
}

}  // namespace

RepositoryPattern::RepositoryPattern(std::string text) : text_(std::move(text)) {
    const auto is_literal = [](char c) { return !is_wildcard(c); };
    literals_ = static_cast<std::size_t>(std::count_if(text_.begin(), text_.end(), is_literal));
    prefix_ = std::min(text_.find_first_of(kWildcards), text_.size());
}

RepositoryPattern RepositoryPattern::parse(std::string_view text) {
    std::string lower = lower_case(text);
    require_matchable(lower);
    const std::string registry = lower.substr(0, lower.find('/'));
    if (!has_wildcard(registry)) {
        lower.replace(0, registry.size(), canonical_registry(registry));
    }
    return RepositoryPattern(std::move(lower));
}

bool RepositoryPattern::matches(std::string_view repository) const {
    return std::ranges::any_of(spellings_of(lower_case(repository)),
                               [this](const auto& spelling) { return is_match(text_, spelling); });
}

bool RepositoryPattern::is_more_specific_than(const RepositoryPattern& other) const {
    return std::pair(literals_, prefix_) > std::pair(other.literals_, other.prefix_);
}

}  // namespace prebake::trust
