#include "agent/registry/token.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cctype>
#include <charconv>
#include <ctime>
#include <exception>
#include <iomanip>
#include <locale>
#include <memory>
#include <sstream>
#include <utility>

#include "agent/base/ascii.h"
#include "agent/base/base64.h"
#include "agent/base/error.h"
#include "agent/base/stream.h"
#include "agent/base/text.h"
#include "agent/http/url.h"
#include "agent/registry/diagnosis.h"
#include "agent/registry/json_members.h"
#include "agent/registry/redirect.h"
#include "agent/registry/retry.h"
#include "agent/registry/secrets.h"
#include "agent/registry/status.h"

namespace prebake::registry {
namespace {

using std::chrono::system_clock;

/// A longer (or absurd) expires_in counts as a day.
constexpr std::chrono::seconds kLongestLifetime = std::chrono::hours(24);

/// Of a request to a token service, to the last byte of its response.
constexpr std::chrono::seconds kTimeLimit{60};

using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

std::string form_encode(const Fields& fields) {
    std::string text;
    for (const auto& [name, value] : fields) {
        if (!text.empty()) text += '&';
        text += http::percent_encode(name) + "=" + http::percent_encode(value);
    }
    return text;
}

/// RFC 3339, as in "issued_at".
std::optional<std::chrono::sys_seconds> parse_time(std::string_view text) {
    std::tm date{};
    std::istringstream stream{std::string(text)};
    stream.imbue(std::locale::classic());
    stream >> std::get_time(&date, "%Y-%m-%dT%H:%M:%S");
    if (stream.fail()) return std::nullopt;
    if (stream.peek() == '.') {
        stream.get();
        while (std::isdigit(stream.peek()) != 0) stream.get();
    }
    std::string zone;
    stream >> zone;
    std::chrono::seconds offset{0};
    if (zone.size() == 6 && (zone[0] == '+' || zone[0] == '-') && zone[3] == ':') {
        const auto digit = [&](std::size_t at) { return zone[at] - '0'; };
        if (!std::ranges::all_of(zone.substr(1, 2) + zone.substr(4), is_digit)) return std::nullopt;
        offset = std::chrono::hours(10 * digit(1) + digit(2)) +
                 std::chrono::minutes(10 * digit(4) + digit(5));
        if (zone[0] == '-') offset = -offset;
    } else if (zone != "Z") {
        return std::nullopt;
    }
    // In whole seconds: the system clock's own nanoseconds end in the year 2262.
    return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&date)) - offset);
}

/// Missing, or no usable number: a minute, as the token specification has it.
std::chrono::seconds lifetime_in(const boost::json::object& object) {
    const auto* value = object.if_contains("expires_in");
    double seconds = 0;
    if (value != nullptr && value->is_number()) seconds = value->to_number<double>();
    if (value != nullptr && value->is_string()) {
        const std::string_view text(value->as_string());
        std::from_chars(text.data(), text.data() + text.size(), seconds);
    }
    if (!(seconds >= 1)) return Token().lifetime;
    const double longest = static_cast<double>(kLongestLifetime.count());
    return std::chrono::seconds(static_cast<std::int64_t>(std::min(seconds, longest)));
}

/// What is left of `lifetime`. A time that this machine's clock cannot have seen is not used: if
/// the token has expired, the registry will say so.
std::chrono::seconds left_of(std::chrono::seconds lifetime, std::string_view issued_at,
                             system_clock::time_point now) {
    const auto issued = parse_time(issued_at);
    if (!issued) return lifetime;
    const auto age = std::chrono::floor<std::chrono::seconds>(now) - *issued;
    return age.count() > 0 && age < lifetime ? lifetime - age : lifetime;
}

/// "(Sign in)": what a document without a token has to say.
std::string remark(std::string_view document, const std::vector<std::string>& secrets) {
    const std::string said = diagnosis(document, secrets);
    return said.empty() ? std::string() : " (" + said + ")";
}

/// Stands for the login hint, which is looked up only if there is no token in the end.
constexpr const char* kLoginHint = "log in";

/// Requests to one token service.
class TokenService {
  public:
    TokenService(http::Client& client, const TokenQuery& query, const Endpoint& registry,
                 const std::stop_token& stop)
        : client_(client), query_(query), registry_(registry), stop_(stop) {}

    Token post(const Credentials& credentials) {
        http::Request request = token_post(query_, credentials);
        add_headers_of(registry_, request);
        auto response = send(request);
        // Other redirects mean a GET, which is the next form.
        const auto is_repeated = [&] { return response->status == 307 || response->status == 308; };
        for (int redirects = 0; is_repeated() && redirects < kMaxRedirects; ++redirects) {
            const std::string target = redirect_of(*response, request.url).url;
            if (!is_same_origin(target, request.url)) refuse_to_post(*response, target);
            http::discard_body(*response);
            request.url = target;
            response = send(request);
        }
        Token token = read(*response, name_of(request.url));
        token.form = TokenForm::post;
        return token;
    }

    Token get(const std::optional<Credentials>& credentials) {
        http::Request request = token_get(query_, credentials);
        add_headers_of(registry_, request);
        auto response = send(request);
        bool is_elsewhere = false;
        for (int redirects = 0; is_redirect(response->status) && redirects < kMaxRedirects;
             ++redirects) {
            http::discard_body(*response);
            const std::string before =
                std::exchange(request.url, redirect_of(*response, request.url).url);
            // The credentials are for the service, not for whom it names.
            if (!is_same_origin(request.url, before)) {
                request.headers.clear();
                is_elsewhere = true;
            }
            response = send(request);
        }
        std::string who = name_of(request.url);
        if (is_elsewhere && credentials) {
            who += ", which gets no credentials because " +
                   http::parse_url(query_.realm).authority() + " redirects to it,";
        }
        return read(*response, who);
    }

  private:
    std::unique_ptr<http::Response> send(http::Request request) {
        request.tls = tls_for_service(http::parse_url(request.url).host, registry_);
        request.time_limit = kTimeLimit;
        request.allows_link_local = false;
        request.connect_timeout = registry_.dial_timeout;
        auto response = client_.send(request, stop_);
        response->secrets = secrets_in(request);
        return response;
    }

    static std::string name_of(const std::string& url) {
        return "the token service " + http::parse_url(url).authority();
    }

    static bool is_same_origin(const std::string& url, const std::string& other) {
        return http::parse_url(url).origin() == http::parse_url(other).origin();
    }

    [[noreturn]] void refuse_to_post(const http::Response& response, const std::string& target) {
        throw ResponseError(
            Error(Errc::permission_denied,
                  name_of(query_.realm) + " redirects to " + http::parse_url(target).origin() +
                      ", where the credentials are not sent",
                  "let the registry name the service that gives tokens"),
            response.status, {});
    }

    Token read(http::Response& response, const std::string& who) {
        if (response.status < 200 || response.status > 299) refuse(response, who);
        return in_context(who, [&] {
            const auto body = read_up_to(response, kMaxTokenBytes);
            if (!body) throw Error(Errc::too_large, "its response is larger than 1 MiB");
            return parse_token(*body, response.secrets, system_clock::now());
        });
    }

    [[noreturn]] void refuse(http::Response& response, const std::string& who) const {
        try {
            throw_status(response, who, kLoginHint);
        } catch (const Error& error) {
            // Some services answer wrong credentials with 403 or 400 (invalid_grant) instead of
            // 401.
            if (response.status == 400 || error.code() == Errc::permission_denied) {
                throw_as(error, Error(Errc::unauthenticated, error.message(), kLoginHint));
            }
            const bool is_lost =
                error.code() == Errc::not_found || error.code() == Errc::unsupported;
            throw_as(error, is_lost ? Error(error.code(), error.message(),
                                            "check that the registry names its token service right")
                                    : error);
        }
    }

    http::Client& client_;
    const TokenQuery& query_;
    const Endpoint& registry_;
    const std::stop_token& stop_;
};

/// Whether the other form may get the token. Not if the service does not answer at all.
bool other_form_may_help(const Error& error) {
    const Errc code = error.code();
    return dynamic_cast<const ResponseError*>(&error) != nullptr || code == Errc::unauthenticated ||
           code == Errc::corrupt || code == Errc::too_large || code == Errc::unavailable;
}

/// How much the error of an earlier form says in comparison with that of the last one.
int weight_of(Errc code) {
    // That a redirect must not be followed: it explains what the service says without credentials.
    if (code == Errc::permission_denied) return 2;
    const bool says_only_that_the_form_is_wrong = code == Errc::not_found ||
                                                  code == Errc::unsupported ||
                                                  code == Errc::corrupt || code == Errc::too_large;
    return says_only_that_the_form_is_wrong ? 0 : 1;
}

/// In the first form that works.
Token fetch(TokenService& service, const std::vector<TokenForm>& forms,
            const std::optional<Credentials>& credentials) {
    std::exception_ptr earlier;
    int weight = 0;  // of the error of an earlier form
    for (std::size_t i = 0; i < forms.size(); ++i) {
        try {
            return forms[i] == TokenForm::post ? service.post(*credentials)
                                               : service.get(credentials);
        } catch (const Error& error) {
            if (i + 1 < forms.size()) {
                if (!other_form_may_help(error)) throw;
                earlier = std::current_exception();
                weight = weight_of(error.code());
            } else if (weight > weight_of(error.code()) && !is_retryable(error.code())) {
                std::rethrow_exception(earlier);
            } else {
                throw;
            }
        }
    }
    throw Error(Errc::internal, "a token was wanted in no form");
}

std::vector<TokenForm> forms_for(const TokenQuery& query,
                                 const std::optional<Credentials>& credentials) {
    if (!credentials) return {TokenForm::get};
    if (!credentials->identity_token.empty()) return {TokenForm::post};
    return query.forms;
}

}  // namespace

TokenQuery token_query(const Challenge& bearer, std::string_view own_scope) {
    TokenQuery query{.realm = bearer.parameter("realm"),
                     .service = bearer.parameter("service"),
                     .scopes = {std::string(own_scope)}};
    const std::string offered = bearer.parameter("scope");
    for (std::size_t begin = 0; begin < offered.size();) {
        const std::size_t end = std::min(offered.find(' ', begin), offered.size());
        if (end > begin) query.scopes.push_back(offered.substr(begin, end - begin));
        begin = end + 1;
    }
    std::ranges::sort(query.scopes);
    query.scopes.erase(std::unique(query.scopes.begin(), query.scopes.end()), query.scopes.end());
    return query;
}

std::string basic_authorization(const Credentials& credentials) {
    return "Basic " + base64_encode(credentials.username + ":" + credentials.password);
}

http::Request token_get(const TokenQuery& query, const std::optional<Credentials>& credentials) {
    Fields fields;
    if (!query.service.empty()) fields.emplace_back("service", query.service);
    for (const std::string& scope : query.scopes) fields.emplace_back("scope", scope);
    http::Request request;
    const std::string& realm = query.realm;
    const bool is_open = realm.ends_with('?') || realm.ends_with('&');
    const std::string separator = realm.find('?') == std::string::npos ? "?" : "&";
    request.url = realm + (is_open ? "" : separator) + form_encode(fields);
    if (credentials)
        request.headers.emplace_back("Authorization", basic_authorization(*credentials));
    return request;
}

http::Request token_post(const TokenQuery& query, const Credentials& credentials) {
    const bool refresh = !credentials.identity_token.empty();
    const std::string scope = joined(query.scopes, " ");
    Fields fields{{"grant_type", refresh ? "refresh_token" : "password"},
                  {"service", query.service},
                  {"client_id", "prebake"},
                  {"scope", scope}};
    if (refresh) {
        fields.emplace_back("refresh_token", credentials.identity_token);
    } else {
        fields.emplace_back("username", credentials.username);
        fields.emplace_back("password", credentials.password);
    }
    http::Request request;
    request.method = http::Method::post;
    request.url = query.realm;
    request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
    request.body = form_encode(fields);
    return request;
}

Token parse_token(std::string_view json, const std::vector<std::string>& secrets,
                  system_clock::time_point now) {
    boost::system::error_code failure;
    const boost::json::value document = boost::json::parse(json, failure);
    const auto* object = failure ? nullptr : document.if_object();
    if (object == nullptr) {
        const bool is_page = trimmed(json).starts_with('<');
        throw Error(Errc::corrupt,
                    "its response is not a JSON object" + (is_page ? remark(json, secrets) : ""));
    }
    Token token;
    for (const std::string_view key : {"token", "access_token"}) {
        if (token.value.empty()) token.value = text_at(*object, key);
    }
    // It is sent in a header, which allows only visible ASCII.
    const bool clean =
        std::ranges::all_of(token.value, [](char c) { return c > ' ' && c < '\x7F'; });
    if (token.value.empty() || !clean) {
        throw Error(Errc::corrupt, "its response has no usable token" + remark(json, secrets));
    }
    token.refresh_token = text_at(*object, "refresh_token");
    token.lifetime = left_of(lifetime_in(*object), text_at(*object, "issued_at"), now);
    return token;
}

Token fetch_token(http::Client& client, const TokenQuery& query,
                  const std::optional<Credentials>& credentials, const Endpoint& registry,
                  const std::function<std::string()>& login_hint, const std::stop_token& stop) {
    TokenQuery absolute = query;
    absolute.realm = in_context("the registry's token service", [&] {
        return http::resolve_reference(registry.base_url, query.realm);
    });
    const http::Url realm = http::parse_url(absolute.realm);
    if (!realm.tls && http::parse_url(registry.base_url).tls) {
        throw Error(
            Errc::permission_denied,
            "the registry requires a token from " + realm.origin() + ", which is not encrypted",
            "let the registry name its token service with https");
    }
    TokenService service(client, absolute, registry, stop);
    try {
        return fetch(service, forms_for(query, credentials), credentials);
    } catch (const Error& error) {
        const Error explained = error.next_step() == kLoginHint
                                    ? Error(error.code(), error.message(), login_hint())
                                    : error;
        const auto* const response = dynamic_cast<const ResponseError*>(&error);
        if (response == nullptr) throw Error(explained);
        // Not the answer to the request that needs the token.
        throw ResponseError(explained, 0, response->retry_after());
    }
}

}  // namespace prebake::registry
