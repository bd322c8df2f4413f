#include "agent/registry/referrers.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/text.h"

namespace prebake::registry {
namespace {

constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";

/// A registry may send few entries a page. What more pages would list is left out.
constexpr int kMaxPages = 32;
constexpr std::chrono::minutes kPageTime{1};

/// "Link: </v2/a/referrers/sha256:…?n=10&last=x>; rel="next"" (RFC 8288). The link of one header
/// line, which may hold several.
struct Link {
    std::string_view target;
    std::string_view parameters;
};

/// Takes the first link from `rest`. Nothing if it is malformed, or there is none.
std::optional<Link> take_link(std::string_view& rest) {
    const std::size_t begin = rest.find('<');
    const std::size_t end = rest.find('>', begin);
    if (begin == std::string_view::npos || end == std::string_view::npos) return std::nullopt;
    Link link{.target = rest.substr(begin + 1, end - begin - 1), .parameters = {}};
    rest.remove_prefix(end + 1);
    link.parameters = rest.substr(0, rest.find('<'));
    return link;
}

bool is_next(std::string_view parameters) {
    while (!parameters.empty()) {
        const std::string_view one = parameters.substr(0, parameters.find_first_of(";,"));
        parameters.remove_prefix(std::min(parameters.size(), one.size() + 1));
        const std::string text = lower_case(trimmed(one));
        if (text == "rel=next" || text == "rel=\"next\"") return true;
    }
    return false;
}

/// Whether a registry that does not know the path may answer with this.
bool may_mean_unknown(Errc code) {
    return code == Errc::not_found || code == Errc::unauthenticated ||
           code == Errc::permission_denied || code == Errc::unsupported;
}

}  // namespace

std::string next_page_of(const http::Headers& headers) {
    for (const std::string& header : http::find_headers(headers, "Link")) {
        std::string_view rest = header;
        while (const std::optional<Link> link = take_link(rest)) {
            const std::size_t query = link->target.find('?');
            if (query == std::string_view::npos || !is_next(link->parameters)) continue;
            const std::string_view found = link->target.substr(query);
            return std::string(found.substr(0, found.find('#')));
        }
    }
    return {};
}

std::string referrers_tag(const oci::Digest& subject) {
    return "sha256-" + subject.hex();
}

std::optional<std::vector<oci::Descriptor>> list_referrers(RequestSender& sender,
                                                           const RetryOptions& options,
                                                           const oci::Reference& repository,
                                                           const oci::Digest& subject,
                                                           const std::stop_token& stop) {
    const std::string path = "referrers/" + subject.str();
    const std::string what = "referrers of " + subject.short_form() + " in " + repository.name();
    std::vector<oci::Descriptor> referrers;
    std::string query;
    bool has_empty_list = false;  // of a host before the last one
    for (int page = 0; page < kMaxPages && referrers.size() < oci::kMaxIndexEntries; ++page) {
        oci::Index index;
        std::string next;
        std::exception_ptr failure;
        // A mirror that did not see a signature yet has an empty list: the registry may have more.
        const auto is_answer = [&](http::Response& response) {
            const auto body = read_up_to(response, oci::kMaxManifestBytes);
            next = next_page_of(response.headers);
            index = oci::parse_index(kIndexType, body.value_or(""));
            const bool is_end_of_list = page > 0 && !has_empty_list;
            if (!index.manifests.empty() || !next.empty() || is_end_of_list) return true;
            has_empty_list = true;
            return false;
        };
        try {
            with_retries(Attempts(options, what, stop), [&] {
                try {
                    sender.send(repository,
                                {.method = http::Method::get,
                                 .path = path + query,
                                 .headers = {{"Accept", kIndexType}},
                                 .resolves = true,
                                 .deadline = std::chrono::steady_clock::now() + kPageTime,
                                 .lists_referrers = true,
                                 .is_answer = is_answer},
                                stop);
                } catch (const Error& error) {
                    // Behind a mirror, the registry is often out of reach: no time for retries.
                    if (!has_empty_list || error.code() == Errc::cancelled) throw;
                    failure = std::current_exception();
                }
            });
            if (failure) std::rethrow_exception(failure);
            std::move(index.manifests.begin(), index.manifests.end(),
                      std::back_inserter(referrers));
        } catch (const Error& error) {
            // A page that is no index is from a registry that answers every path with something.
            const bool is_no_index = error.code() == Errc::corrupt;
            if (page == 0 && (may_mean_unknown(error.code()) || is_no_index)) return std::nullopt;
            throw error.within("cannot list " + what);
        }
        if (next.empty()) break;
        query = std::move(next);
    }
    referrers.erase(referrers.begin() + static_cast<std::ptrdiff_t>(
                                            std::min(referrers.size(), oci::kMaxIndexEntries)),
                    referrers.end());
    return referrers;
}

}  // namespace prebake::registry
