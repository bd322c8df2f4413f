#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/registry/http.h"

namespace prebake::registry {

/// One request that is expected, and what it is answered with.
struct Step {
    Method method = Method::get;
    std::string url = {};
    Headers with = {};                      ///< headers that the request must have
    std::vector<std::string> without = {};  ///< and must not have
    std::string form = {};                  ///< the body that it must have
    int status = 200;
    Headers headers = {};
    std::string body = {};
    bool chunked = false;                          ///< no content length
    std::optional<std::uint64_t> length = {};      ///< a content length that is not the body's
    std::optional<std::size_t> breaks_after = {};  ///< the connection breaks after so many bytes
    std::optional<Error> refuses = {};             ///< no answer at all
    std::optional<TlsVerification> tls = {};
};

class ScriptedResponse : public HttpResponse {
  public:
    explicit ScriptedResponse(const Step& step)
        : body_(step.body), breaks_after_(step.breaks_after) {
        status = step.status;
        headers = step.headers;
        if (!step.chunked) content_length = step.length.value_or(step.body.size());
        if (step.method == Method::head) body_.clear();
    }

    std::size_t read(std::span<std::byte> buffer) override {
        const std::size_t end = std::min(breaks_after_.value_or(body_.size()), body_.size());
        const std::size_t count = std::min(buffer.size(), end - position_);
        std::memcpy(buffer.data(), body_.data() + position_, count);
        position_ += count;
        if (count == 0 && breaks_after_ && !buffer.empty()) {
            throw Error(Errc::unavailable, "the connection broke");
        }
        return count;
    }

  private:
    std::string body_;
    std::optional<std::size_t> breaks_after_;
    std::size_t position_ = 0;
};

/// Plays its steps one after the other; any other request fails the test.
class ScriptedHttp : public HttpClient {
  public:
    explicit ScriptedHttp(std::vector<Step> steps) : steps_(steps.begin(), steps.end()) {}
    ~ScriptedHttp() override { CHECK_MESSAGE(steps_.empty(), "requests that were never sent"); }

    std::unique_ptr<HttpResponse> send(const HttpRequest& request,
                                       const std::stop_token&) override {
        INFO("request ", request.url);
        if (steps_.empty()) FAIL("unexpected request");
        const Step step = steps_.front();
        steps_.pop_front();
        CHECK(request.url == step.url);
        CHECK(request.method == step.method);
        CHECK(request.body == step.form);
        for (const auto& header : step.with) {
            CAPTURE(header.first);
            CHECK(find_header(request.headers, header.first).value_or("(none)") == header.second);
        }
        for (const auto& name : step.without) {
            CHECK_MESSAGE(!find_header(request.headers, name), name);
        }
        if (step.tls) CHECK(request.tls == *step.tls);
        if (step.refuses) throw Error(*step.refuses);
        return std::make_unique<ScriptedResponse>(step);
    }

  private:
    std::deque<Step> steps_;
};

/// The Error that `work` throws, of which no part may hold what a test calls SECRET.
template <typename Work>
Error error_of(Work&& work) {
    try {
        work();
    } catch (const Error& error) {
        CHECK_MESSAGE(std::string(error.what()).find("SECRET") == std::string::npos, error.what());
        return error;
    }
    FAIL("no error");
    return Error(Errc::internal, "unreachable");
}

inline bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

}  // namespace prebake::registry
