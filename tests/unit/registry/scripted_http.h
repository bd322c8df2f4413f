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
#include "agent/http/client.h"
#include "tests/unit/http/error_of.h"

namespace prebake::registry {

using tests::contains;
using tests::error_of;

/// An expected request, and its response.
struct Step {
    http::Method method = http::Method::get;
    std::string url = {};
    http::Headers with = {};                ///< headers that the request must have
    std::vector<std::string> without = {};  ///< headers that it must not have
    std::string form = {};                  ///< the body that it must have
    int status = 200;
    http::Headers headers = {};
    std::string body = {};
    bool chunked = false;                          ///< no content length
    std::optional<std::uint64_t> length = {};      ///< a wrong content length
    std::optional<std::size_t> breaks_after = {};  ///< the connection breaks after this many bytes
    std::optional<Error> refuses = {};             ///< thrown instead of a response
    std::optional<http::TlsVerification> tls = {};
    std::optional<bool> has_time_limit = {};
    std::optional<bool> allows_link_local = {};
};

class ScriptedResponse : public http::Response {
  public:
    explicit ScriptedResponse(const Step& step)
        : body_(step.body), breaks_after_(step.breaks_after) {
        status = step.status;
        headers = step.headers;
        if (!step.chunked) content_length = step.length.value_or(step.body.size());
        if (step.method == http::Method::head) body_.clear();
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
class ScriptedHttp : public http::Client {
  public:
    explicit ScriptedHttp(std::vector<Step> steps) : steps_(steps.begin(), steps.end()) {}
    ~ScriptedHttp() override { CHECK_MESSAGE(steps_.empty(), "requests that were never sent"); }

    std::unique_ptr<http::Response> send(const http::Request& request,
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
            CHECK(http::find_header(request.headers, header.first).value_or("(none)") ==
                  header.second);
        }
        for (const auto& name : step.without) {
            CHECK_MESSAGE(!http::find_header(request.headers, name), name);
        }
        if (step.tls) CHECK(request.tls.verification == *step.tls);
        if (step.has_time_limit) CHECK(request.time_limit.has_value() == *step.has_time_limit);
        if (step.allows_link_local) CHECK(request.allows_link_local == *step.allows_link_local);
        if (step.refuses) throw Error(*step.refuses);
        return std::make_unique<ScriptedResponse>(step);
    }

  private:
    std::deque<Step> steps_;
};

}  // namespace prebake::registry
