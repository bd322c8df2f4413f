#include "agent/machine/metadata.h"

#include <algorithm>
#include <array>
#include <functional>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/base/wait.h"
#include "agent/machine/text_format.h"

namespace prebake::machine {
namespace {

using Clock = std::chrono::steady_clock;
using Headers = std::vector<std::pair<std::string, std::string>>;

/// If nothing points to a cloud, two rounds without a response mean that there is none.
constexpr int kSilentRounds = 2;
/// Garbage may come from a service that is starting, or may be permanent.
constexpr int kNonsenseRounds = 3;
constexpr std::size_t kMaxTagBytes = 256;
constexpr const char* kTokenSeconds = "900";

bool is_success(const MetadataResponse& response) {
    return response.status == 200;
}

Error status_error(const std::string& url, int status) {
    const std::string message = url + " answers with status " + std::to_string(status);
    if (status == 403) {
        return Error(Errc::permission_denied, message,
                     "allow this instance to use its metadata service, or state its host name in "
                     "the configuration");
    }
    if (status == 404) return Error(Errc::not_found, message);
    if (status == 429 || status >= 500) return Error(Errc::rate_limited, message);
    return Error(Errc::corrupt, message);
}

/// One call of fetch_metadata(): its time limit, and what it has learned about the service.
class Exchange {
  public:
    Exchange(MetadataClient& client, const MetadataLimits& limits, bool is_platform_known,
             const std::stop_token& stop)
        : client_(client),
          limits_(limits),
          stop_(stop),
          deadline_(Clock::now() + limits.total),
          is_platform_known_(is_platform_known) {}

    bool is_platform_known() const { return is_platform_known_; }
    bool is_out_of_time() const { return is_out_of_time_; }

    MetadataResponse send(MetadataRequest::Method method, const std::string& url,
                          const Headers& headers) {
        throw_if_stopped(stop_);
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
        if (left.count() <= 0) {
            is_out_of_time_ = true;
            throw Error(Errc::timed_out, "the time limit for the metadata service has passed");
        }
        return client_.send({.method = method, .url = url, .headers = headers},
                            std::min(limits_.attempt, left), stop_);
    }

    MetadataResponse get(const std::string& url, const Headers& headers) {
        return send(MetadataRequest::Method::get, url, headers);
    }

    /// False if the time limit passes before the delay ends.
    bool wait_after(int failures) {
        const auto delay = next_delay(limits_, failures);
        if (Clock::now() + delay >= deadline_) return false;
        sleep_for(delay, stop_);
        return true;
    }

    /// Responses to token requests have a hop limit, others do not. If only the token does not
    /// arrive, there is a router in between (a container's bridge). Checked once.
    bool answers_without_token(const std::string& base) {
        if (has_probed_) return hops_are_short_;
        has_probed_ = true;
        try {
            get(base + "/latest/meta-data/", {});
            hops_are_short_ = true;
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled) throw;
        }
        return hops_are_short_;
    }

  private:
    MetadataClient& client_;
    const MetadataLimits& limits_;
    const std::stop_token& stop_;
    Clock::time_point deadline_;
    bool is_platform_known_;
    bool is_out_of_time_ = false;
    bool has_probed_ = false;
    bool hops_are_short_ = false;
};

class Ec2Session {
  public:
    Ec2Session(Exchange& exchange, const std::string& base) : exchange_(exchange), base_(base) {
        renew_token();
    }

    /// The body. @throws Error not_found, permission_denied, rate_limited, corrupt, as send().
    std::string get(const std::string& path) {
        MetadataResponse response = try_get(path);
        if (response.status == 401) {
            renew_token();
            response = try_get(path);
        }
        if (!is_success(response)) throw status_error(base_ + path, response.status);
        return std::move(response.body);
    }

  private:
    MetadataResponse try_get(const std::string& path) {
        return exchange_.get(base_ + path, {{"X-aws-ec2-metadata-token", token_}});
    }

    void renew_token() {
        const std::string url = base_ + "/latest/api/token";
        const MetadataResponse response = request_token(url);
        // Not EC2, or a service without tokens: we do not use IMDSv1.
        if (response.status == 405) throw status_error(url, 404);
        if (!is_success(response)) throw status_error(url, response.status);
        token_ = parse_token(response.body);
    }

    MetadataResponse request_token(const std::string& url) {
        try {
            return exchange_.send(MetadataRequest::Method::put, url,
                                  {{"X-aws-ec2-metadata-token-ttl-seconds", kTokenSeconds}});
        } catch (const Error& error) {
            if (error.code() != Errc::timed_out || !exchange_.answers_without_token(base_)) throw;
            throw Error(Errc::timed_out,
                        error.message() + ", though other requests to it are answered",
                        "raise http-put-response-hop-limit in the metadata options of the "
                        "instance: the answer has to pass a router or a container bridge");
        }
    }

    Exchange& exchange_;
    const std::string& base_;
    std::string token_;
};

/// Optional values. The first failure other than not_found ends the queries.
class Optionals {
  public:
    std::string get(const std::function<std::string()>& ask) {
        if (has_failed_) return {};
        try {
            return ask();
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled) throw;
            has_failed_ = error.code() != Errc::not_found;
            return {};
        }
    }

  private:
    bool has_failed_ = false;
};

Metadata ec2_instance(Ec2Session& session) {
    try {
        return parse_ec2_identity_document(
            session.get("/latest/dynamic/instance-identity/document"));
    } catch (const Error& error) {
        if (error.code() != Errc::not_found && error.code() != Errc::corrupt) throw;
    }
    const std::string body = session.get("/latest/meta-data/instance-id");
    const std::string_view id = trimmed(body);
    if (!is_ec2_instance_id(id)) {
        throw Error(Errc::corrupt, "the metadata service names no valid EC2 instance id");
    }
    Metadata metadata;
    metadata.instance.set_platform("ec2");
    metadata.instance.set_id(std::string(id));
    metadata.instance.set_source("metadata");
    return metadata;
}

std::map<std::string, std::string> ec2_tags(Ec2Session& session, Optionals& optionals) {
    const std::string path = "/latest/meta-data/tags/instance";
    std::vector<std::string> keys;
    optionals.get([&] {
        keys = parse_tag_keys(session.get(path));
        return std::string();
    });
    std::map<std::string, std::string> tags;
    for (const std::string& key : keys) {
        std::string value = optionals.get([&] { return session.get(path + "/" + key); });
        if (is_printable(value, kMaxTagBytes)) tags.emplace(key, std::move(value));
    }
    return tags;
}

Metadata ask_ec2(Exchange& exchange, const std::string& base) {
    Ec2Session session(exchange, base);
    Metadata metadata = ec2_instance(session);
    Optionals optionals;
    const std::string names =
        optionals.get([&] { return session.get("/latest/meta-data/local-hostname"); });
    // One name for each domain in the DHCP options, separated by spaces.
    const std::string_view name = trimmed(names);
    const std::string_view first = name.substr(0, name.find(' '));
    if (is_dns_name(first)) metadata.hostname = first;
    metadata.tags = ec2_tags(session, optionals);
    return metadata;
}

std::string get_or_throw(Exchange& exchange, const std::string& url, const Headers& headers) {
    MetadataResponse response = exchange.get(url, headers);
    if (!is_success(response)) throw status_error(url, response.status);
    return std::move(response.body);
}

Metadata ask_gce(Exchange& exchange, const std::string& base) {
    const Headers headers{{"Metadata-Flavor", "Google"}};
    const std::string instance = base + "/computeMetadata/v1/instance/";
    try {
        return parse_gce_instance(get_or_throw(exchange, instance + "?recursive=true", headers));
    } catch (const Error& error) {
        // It contains startup scripts and other user attributes, so it may exceed our limit.
        if (error.code() != Errc::too_large) throw;
    }
    const std::string id = get_or_throw(exchange, instance + "id", headers);
    Metadata metadata = parse_gce_instance("{\"id\":\"" + std::string(trimmed(id)) + "\"}");
    Optionals optionals;
    const std::string name =
        optionals.get([&] { return get_or_throw(exchange, instance + "hostname", headers); });
    if (is_dns_name(trimmed(name))) metadata.hostname = trimmed(name);
    return metadata;
}

Metadata ask_azure(Exchange& exchange, const std::string& base) {
    const std::string url = base + "/metadata/instance?api-version=2021-08-01";
    const MetadataResponse response = exchange.get(url, {{"Metadata", "true"}});
    // On Azure both mean "not yet".
    const bool is_not_yet =
        response.status == 410 || (response.status == 404 && exchange.is_platform_known());
    if (is_not_yet) throw status_error(url, 503);
    if (!is_success(response)) throw status_error(url, response.status);
    return parse_azure_instance(response.body);
}

struct Service {
    const char* platform;
    const char* base;
    Metadata (*ask)(Exchange&, const std::string&);
};

constexpr std::array<Service, 4> kServices{{
    {"ec2", "http://169.254.169.254", ask_ec2},
    {"ec2", "http://[fd00:ec2::254]", ask_ec2},
    {"gce", "http://169.254.169.254", ask_gce},
    {"azure", "http://169.254.169.254", ask_azure},
}};

bool is_known_platform(const std::string& platform) {
    return std::any_of(kServices.begin(), kServices.end(), [&platform](const Service& service) {
        return service.platform == platform;
    });
}

/// How useful a failure is for deciding what to do next, compared with others of one round.
int weight(Errc code) {
    if (code == Errc::rate_limited) return 5;
    if (code == Errc::timed_out) return 3;
    if (code == Errc::unavailable) return 2;
    if (code == Errc::permission_denied) return 1;
    if (code == Errc::not_found) return 0;
    return 4;  // it answers, but not sense
}

/// Queries each service once. `telling` is the most useful failure of this round; of an earlier one
/// if the time limit passed before this round got any response.
std::optional<Metadata> ask_each(Exchange& exchange, const std::string& platform,
                                 std::optional<Error>& telling) {
    std::optional<Error> failure;
    for (const Service& service : kServices) {
        if (exchange.is_platform_known() && service.platform != platform) continue;
        try {
            return service.ask(exchange, service.base);
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled) throw;
            // A 403 from another cloud's service only means that it does not know this request.
            if (error.code() == Errc::permission_denied && exchange.is_platform_known()) throw;
            const bool says_nothing = exchange.is_out_of_time() && (failure || telling);
            if (says_nothing) continue;
            if (!failure || weight(error.code()) > weight(failure->code())) failure = error;
        }
    }
    if (failure) telling = failure;
    return std::nullopt;
}

Error out_of_time(const Error& last, int rounds) {
    const Errc code = last.code() == Errc::rate_limited ? Errc::unavailable : last.code();
    return Error(code, last.message() + " (after " + std::to_string(rounds) + " attempts)",
                 last.next_step());
}

}  // namespace

std::chrono::milliseconds next_delay(const MetadataLimits& limits, int failures) {
    std::chrono::milliseconds delay = limits.first_delay;
    for (int i = 1; i < failures && delay < limits.max_delay; ++i) delay *= 2;
    return std::min(delay, limits.max_delay);
}

Metadata fetch_metadata(const v1::Instance& known, MetadataClient& client,
                        const MetadataLimits& limits, const std::stop_token& stop) {
    Exchange exchange(client, limits, is_known_platform(known.platform()), stop);
    std::optional<Error> telling;
    int silent = 0;
    int nonsense = 0;
    for (int rounds = 1;; ++rounds) {
        if (auto metadata = ask_each(exchange, known.platform(), telling)) return *metadata;
        const Error& failure = *telling;
        const int weighed = weight(failure.code());
        if (weighed <= weight(Errc::permission_denied)) throw Error(failure);
        if (weighed == weight(Errc::corrupt) && ++nonsense == kNonsenseRounds) {
            throw Error(Errc::corrupt, failure.message(), failure.next_step());
        }
        const bool is_silence = weighed <= weight(Errc::timed_out);
        if (is_silence && !exchange.is_platform_known() && ++silent == kSilentRounds) {
            throw Error(Errc::not_found, "no metadata service answers: " + failure.message(),
                        failure.next_step());
        }
        if (!exchange.wait_after(rounds)) throw out_of_time(failure, rounds);
    }
}

}  // namespace prebake::machine
