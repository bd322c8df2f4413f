#include <mutex>
#include <span>
#include <type_traits>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/wait.h"
#include "agent/docker/api_version.h"
#include "agent/docker/documents.h"
#include "agent/docker/engine.h"
#include "agent/docker/json_lines.h"
#include "agent/docker/load_stream.h"
#include "agent/docker/pull_stream.h"
#include "agent/docker/refusal.h"
#include "agent/docker/requests.h"
#include "agent/oci/quoted.h"

namespace prebake::docker {
namespace {

using std::chrono::milliseconds;

/// Only the Host header has it.
constexpr std::string_view kBaseUrl = "http://localhost";
constexpr std::size_t kMaxRefusalBytes = 64UL << 10;
/// A stream of events may be silent for days. Afterwards it is opened again.
constexpr milliseconds kEventSilence = std::chrono::hours(24 * 30);

/// As messages show them.
std::vector<std::string> names_of(const oci::Reference& reference) {
    constexpr std::string_view kOfficial = "library/";
    std::vector<std::string> names{reference.repository, reference.registry};
    if (reference.repository.starts_with(kOfficial)) {
        names.push_back(reference.repository.substr(kOfficial.size()));
    }
    return names;
}

/// What the login must not leave in a message.
std::vector<std::string> secrets_of(const std::optional<RegistryLogin>& login) {
    std::vector<std::string> secrets;
    if (!login) return secrets;
    for (const std::string& secret :
         {login->password, login->identity_token, auth_header(*login)}) {
        if (!secret.empty()) secrets.push_back(secret);
    }
    return secrets;
}

/// An answer, or the reason why there is none.
struct Answer {
    std::unique_ptr<http::Response> response;  ///< null: refused
    int status = 0;
    std::string refusal;
};

class HttpEngine final : public Engine {
  public:
    HttpEngine(http::Client& client, std::filesystem::path socket, std::stop_token stop,
               const Patience& patience)
        : client_(client),
          socket_(std::move(socket)),
          stop_(std::move(stop)),
          patience_(patience) {}

    const std::filesystem::path& socket() const override { return socket_; }

    EngineInfo info() override {
        EngineInfo info = parse_info(document("/info", "describe itself"));
        info.api_version = version().str();
        return info;
    }

    std::optional<EngineImage> inspect(const std::string& name) override {
        Answer answer = ask(question(), inspect_path(name));
        if (answer.status == 404) return std::nullopt;
        return parse_image(
            body_of(answer, {.work = "look for the image " + name, .names = {name}}));
    }

    void pull(const PullRequest& request,
              const std::function<void(const PullProgress&)>& on_progress) override {
        const oci::Reference& reference = request.reference;
        const Refused refused{.work = "pull " + reference.str(),
                              .names = names_of(reference),
                              .secrets = secrets_of(request.login)};
        const std::string path = pull_path(request, version());
        PullStream stream(patience_, PullStream::Clock::now());
        Answer answer =
            unless_stuck(stream, refused, [&] { return ask(pull_question(request), path); });
        require(answer, refused);
        read_pull(*answer.response, stream, refused, on_progress);
        if (stream.is_complete()) return;
        // The stream has an end, but dockerd has not said that the image is there.
        const std::string target = reference.digest
                                       ? reference.name() + "@" + reference.digest->str()
                                       : reference.tag_name().value_or(reference.str());
        if (inspect(target)) return;
        throw Error(Errc::unavailable,
                    "dockerd ended its report before " + reference.str() + " was there",
                    "try again; see journalctl -u docker");
    }

    void tag(const std::string& name, const oci::Reference& tag) override {
        http::Request request = question();
        request.method = http::Method::post;
        Answer answer = ask(request, tag_path(name, tag));
        body_of(answer, {.work = "give the image " + name + " the name " + tag.str(),
                         .names = {name, tag.name()}});
    }

    void load(Source& archive, std::uint64_t size) override {
        http::Request request;
        request.method = http::Method::post;
        request.headers = {{"Content-Type", "application/x-tar"}};
        request.upload = &archive;
        request.upload_bytes = size;
        request.stall_timeout = patience_.unpack;
        const Refused refused{.work = "load an archive of images"};
        Answer answer = ask(request, "/images/load?quiet=1");
        require(answer, refused);
        LoadStream stream;
        JsonLines lines(*answer.response);
        while (const auto text = next(lines)) {
            const StreamLine line = parse_stream_line(*text);
            refuse_error_in(line, refused);
            stream.take(line);
        }
        if (!stream.failure().empty()) {
            Refused failure = refused;
            failure.message = stream.failure();
            throw error_of(failure);
        }
        if (!stream.has_loaded()) {
            throw Error(Errc::unavailable, "dockerd ended its report before the images were loaded",
                        "try again; see journalctl -u docker");
        }
    }

    std::vector<EngineContainer> containers() override {
        return parse_containers(document("/containers/json?all=1", "list its containers"));
    }

    [[noreturn]] void follow_events(
        std::chrono::system_clock::time_point since, const std::function<void()>& on_subscribed,
        const std::function<void(const EngineEvent&)>& on_event) override {
        http::Request request;
        request.stall_timeout = kEventSilence;
        Answer answer = ask(request, events_path(since));
        require(answer, {.work = "report its events"});
        on_subscribed();
        JsonLines lines(*answer.response);
        while (const auto line = next(lines)) on_event(parse_event(*line));
        throw_if_stopped(stop_);
        throw Error(Errc::unavailable, "dockerd at " + socket_.string() + " stopped", kStart);
    }

  private:
    static constexpr const char* kStart =
        "check that dockerd runs (systemctl status docker), or start it: systemctl start docker";

    /// A question that dockerd answers at once.
    http::Request question() const {
        http::Request request;
        request.time_limit = patience_.answer;
        request.stall_timeout = patience_.answer;
        return request;
    }

    // Pulls

    http::Request pull_question(const PullRequest& pull) const {
        http::Request request;
        request.method = http::Method::post;
        request.stall_timeout = patience_.download;
        if (pull.login) request.headers.emplace_back("X-Registry-Auth", auth_header(*pull.login));
        return request;
    }

    void read_pull(http::Response& response, PullStream& stream, const Refused& refused,
                   const std::function<void(const PullProgress&)>& on_progress) {
        const auto now = [] { return PullStream::Clock::now(); };
        JsonLines lines(response);
        for (;;) {
            const milliseconds remaining = stream.remaining(now());
            if (remaining <= milliseconds(0)) throw stuck(stream, refused);
            response.set_stall_timeout(remaining);
            const auto text = unless_stuck(stream, refused, [&] { return next(lines); });
            if (!text) return;
            const StreamLine line = parse_stream_line(*text);
            refuse_error_in(line, refused);
            if (const auto progress = stream.take(line, now())) on_progress(*progress);
        }
    }

    template <typename Work>
    static std::invoke_result_t<Work> unless_stuck(const PullStream& stream, const Refused& refused,
                                                   Work work) {
        try {
            return work();
        } catch (const Error& error) {
            if (error.code() == Errc::timed_out) throw stuck(stream, refused);
            throw;
        }
    }

    static Error stuck(const PullStream& stream, const Refused& refused) {
        return Error(Errc::timed_out,
                     "dockerd cannot " + refused.work + ": it made no progress for " +
                         format_duration(stream.limit()) + " while " + stream.phase(),
                     "see journalctl -u docker, and check the registry and the disk");
    }

    static void refuse_error_in(const StreamLine& line, const Refused& refused) {
        if (line.error.empty()) return;
        Refused failure = refused;
        failure.message = line.error;
        throw error_of(failure);
    }

    // Versions

    ApiVersion version() {
        const std::scoped_lock lock(mutex_);
        if (!version_) version_ = negotiated();
        return *version_;
    }

    /// An engine that was updated meanwhile may have left our version behind.
    void forget_version() {
        const std::scoped_lock lock(mutex_);
        version_.reset();
    }

    ApiVersion negotiated() {
        Answer ping = ask_url(question(), "/_ping");
        refuse_others(ping);
        const auto header = http::find_header(ping.response->headers, "Api-Version");
        // Docker 1.12 does not send it yet.
        const ApiVersion newest =
            header ? parse_api_version(*header).value_or(ApiVersion()) : kOldestApi;
        if (newest == ApiVersion()) throw no_engine("its Api-Version is " + oci::quoted(*header));
        read_body(*ping.response);
        Answer answer = ask_url(question(), "/version");
        const EngineVersion engine = parse_version(body_of(answer, {.work = "tell its version"}));
        return common_version({.oldest = engine.oldest, .newest = newest},
                              "Docker " + engine.version);
    }

    /// Podman answers as Docker does, but keeps its images elsewhere.
    void refuse_others(const Answer& ping) const {
        if (ping.status >= 500) {
            throw Error(Errc::unavailable,
                        "dockerd at " + socket_.string() + " answers " +
                            std::to_string(ping.status) + ": " + shorten(ping.refusal, 200),
                        kStart);
        }
        if (!ping.response) throw no_engine("it answers " + std::to_string(ping.status));
        const http::Headers& headers = ping.response->headers;
        if (http::find_header(headers, "Libpod-API-Version")) {
            throw Error(Errc::unsupported,
                        "Podman, and not dockerd, listens on " + socket_.string(),
                        "name dockerd's socket with --docker-host");
        }
        const std::string server = http::find_header(headers, "Server").value_or("");
        if (!http::find_header(headers, "Api-Version") && !server.starts_with("Docker/")) {
            throw no_engine("it sends no Api-Version");
        }
    }

    Error no_engine(const std::string& reason) const {
        return Error(Errc::corrupt,
                     "what listens on " + socket_.string() + " is not dockerd: " + reason,
                     "name dockerd's socket with --docker-host");
    }

    // Exchanges

    /// A short answer.
    std::string document(const std::string& path, const std::string& work) {
        Answer answer = ask(question(), path);
        return body_of(answer, {.work = work});
    }

    /// `path` follows the version.
    Answer ask(const http::Request& request, const std::string& path) {
        Answer answer = ask_url(request, "/v" + version().str() + path);
        const bool is_outdated =
            answer.status == 400 && answer.refusal.find("client version") != std::string::npos;
        if (!is_outdated) return answer;
        forget_version();
        // An upload has been read. The next call speaks the new version.
        if (request.upload != nullptr) return answer;
        return ask_url(request, "/v" + version().str() + path);
    }

    Answer ask_url(http::Request request, const std::string& target) {
        request.url = std::string(kBaseUrl) + target;
        request.unix_socket = socket_.string();
        Answer answer;
        answer.response = explained([&] { return client_.send(request, stop_); });
        answer.status = answer.response->status;
        if (answer.status >= 200 && answer.status < 300) return answer;
        answer.refusal = refusal_in(*answer.response);
        answer.response.reset();
        return answer;
    }

    std::string refusal_in(http::Response& response) {
        std::string body(kMaxRefusalBytes, '\0');
        body.resize(
            explained([&] { return response.read(std::as_writable_bytes(std::span(body))); }));
        return message_in(body);
    }

    static void require(const Answer& answer, const Refused& refused) {
        if (answer.response) return;
        Refused failure = refused;
        failure.status = answer.status;
        failure.message = answer.refusal;
        throw error_of(failure);
    }

    std::string body_of(const Answer& answer, const Refused& refused) {
        require(answer, refused);
        return read_body(*answer.response);
    }

    std::string read_body(http::Response& response) {
        auto body = explained([&] { return read_up_to(response, kMaxDocumentBytes); });
        if (body) return std::move(*body);
        throw Error(Errc::too_large, "dockerd at " + socket_.string() + " answers with more than " +
                                         format_bytes(kMaxDocumentBytes));
    }

    std::optional<std::string> next(JsonLines& lines) {
        return explained([&] { return lines.next(); });
    }

    /// What `work` returns. Its errors know the socket, but not what is behind it.
    template <typename Work>
    std::invoke_result_t<Work> explained(Work work) const {
        try {
            return work();
        } catch (const Error& error) {
            throw explanation_of(error);
        }
    }

    Error explanation_of(const Error& error) const {
        const auto with_next_step = [&](const std::string& next_step) {
            return Error(error.code(), "dockerd: " + error.message(), next_step);
        };
        if (error.code() == Errc::unavailable) {
            std::error_code ignored;
            if (std::filesystem::exists(socket_, ignored)) return with_next_step(kStart);
            return Error(Errc::unavailable, "dockerd does not run: there is no " + socket_.string(),
                         kStart);
        }
        if (error.code() == Errc::permission_denied) {
            return with_next_step("run prebake as root, or as a member of the group docker");
        }
        if (error.code() == Errc::corrupt) return no_engine(error.message());
        if (error.code() == Errc::timed_out) return with_next_step("see journalctl -u docker");
        return error;
    }

    http::Client& client_;
    const std::filesystem::path socket_;
    const std::stop_token stop_;
    const Patience patience_;
    std::mutex mutex_;
    std::optional<ApiVersion> version_;
};

}  // namespace

std::unique_ptr<Engine> connect(http::Client& client, std::filesystem::path socket,
                                std::stop_token stop, Patience patience) {
    return std::make_unique<HttpEngine>(client, std::move(socket), std::move(stop), patience);
}

}  // namespace prebake::docker
