#include "agent/trust/pattern.h"

#include <algorithm>
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
    if (registry == "index.docker.io" || registry == "registry-1.docker.io") {
        refuse_pattern(text, "the name of Docker Hub is docker.io",
                       "write \"docker.io/" + std::string(repository) + "\"");
    }
    if (registry == "docker.io" && repository.find('/') == std::string_view::npos &&
        repository.find("**") == std::string_view::npos) {
        refuse_pattern(text, "Docker Hub's repositories have two parts",
                       has_wildcard(repository)
                           ? "write \"docker.io/**\" for all of Docker Hub"
                           : "write \"docker.io/library/" + std::string(repository) + "\"");
    }
}

/// A character of the pattern, or a wildcard.
enum class Piece { literal, one, any_in_component, any };

}  // namespace

RepositoryPattern::RepositoryPattern(std::string text) : text_(std::move(text)) {
    const auto is_literal = [](char c) { return !is_wildcard(c); };
    literals_ = static_cast<std::size_t>(std::count_if(text_.begin(), text_.end(), is_literal));
    prefix_ = std::min(text_.find_first_of(kWildcards), text_.size());
}

RepositoryPattern RepositoryPattern::parse(std::string_view text) {
    std::string lower = lower_case(text);
    require_matchable(lower);
    return RepositoryPattern(std::move(lower));
}

bool RepositoryPattern::matches(std::string_view repository) const {
    const std::string name = lower_case(repository);
    // reached[i]: the pattern up to here matches the first i characters. Takes as many steps as the
    // product of both lengths, whatever the pattern is.
    std::vector<bool> reached(name.size() + 1);
    reached[0] = true;
    for (std::size_t at = 0; at < text_.size(); ++at) {
        Piece piece = Piece::literal;
        if (text_[at] == '?') piece = Piece::one;
        if (text_[at] == '*') piece = Piece::any_in_component;
        if (text_.compare(at, 2, "**") == 0) {
            piece = Piece::any;
            ++at;
        }
        std::vector<bool> next(name.size() + 1);
        for (std::size_t i = 0; i <= name.size(); ++i) {
            const bool is_in_component = i > 0 && name[i - 1] != '/';
            switch (piece) {
                case Piece::literal:
                    next[i] = i > 0 && reached[i - 1] && name[i - 1] == text_[at];
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

bool RepositoryPattern::is_more_specific_than(const RepositoryPattern& other) const {
    return std::pair(literals_, prefix_) > std::pair(other.literals_, other.prefix_);
}

}  // namespace prebake::trust
