#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/http/client.h"
#include "agent/registry/blob_connections.h"

namespace prebake::registry::range_server {

inline constexpr std::uint64_t kMebi = 1UL << 20;

/// A blob in which no two parts are equal.
inline std::string noise(std::size_t size) {
    std::string text(size, '\0');
    std::mt19937_64 random(size);
    for (std::size_t i = 0; i < size; i += sizeof(std::uint64_t)) {
        const std::uint64_t next = random();
        std::memcpy(text.data() + i, &next, std::min(sizeof next, size - i));
    }
    return text;
}

/// Serves one blob to many threads: the whole of it, its rest, or a part. Counts what it does.
class RangeServer final : public http::Client {
  public:
    struct Answer {
        int status = 200;
        http::Headers headers = {};
        std::string_view body = {};
        bool has_length = true;
        std::optional<std::size_t> breaks_after = {};  ///< bytes of the body
        bool hangs = false;                            ///< where it breaks
        std::optional<Error> refuses = {};             ///< thrown instead
        /// Called before each read, with the bytes of the body that were read before.
        std::function<void(std::size_t)> at = nullptr;
    };
    struct Asked {
        std::string url;
        std::string range;
        std::chrono::steady_clock::time_point at;
    };
    /// Changes the answer to a request; called with the number of requests of its kind before it.
    using Behaviour = std::function<void(Answer&, const http::Request&, std::size_t)>;

    explicit RangeServer(std::string_view blob) : blob_(blob) {}

    /// Of requests for a part with its end.
    Behaviour on_part = nullptr;
    /// Of others.
    Behaviour on_rest = nullptr;
    /// The others bring no more than this, until so many parts were asked for.
    std::size_t rest_waits_after = 0;
    std::size_t rest_waits_for = 0;

    std::unique_ptr<http::Response> send(const http::Request& request,
                                         const std::stop_token& stop) override {
        const std::string range = http::find_header(request.headers, "Range").value_or("");
        const bool is_part = !range.empty() && !range.ends_with('-');
        std::size_t before = 0;
        {
            const std::scoped_lock lock(mutex_);
            auto& asked = is_part ? parts_ : rests_;
            before = asked.size();
            asked.push_back({request.url, range, std::chrono::steady_clock::now()});
            changed_.notify_all();
        }
        Answer answer = good(range);
        const Behaviour& behaviour = is_part ? on_part : on_rest;
        if (behaviour) behaviour(answer, request, before);
        if (answer.refuses) throw Error(*answer.refuses);
        return std::make_unique<Response>(*this, answer, is_part, stop);
    }

    void let_rest_go() {
        const std::scoped_lock lock(mutex_);
        rest_waits_for = 0;
        changed_.notify_all();
    }

    std::vector<Asked> parts() const {
        const std::scoped_lock lock(mutex_);
        return parts_;
    }
    std::vector<Asked> rests() const {
        const std::scoped_lock lock(mutex_);
        return rests_;
    }
    std::size_t most_open() const {
        const std::scoped_lock lock(mutex_);
        return most_open_;
    }
    /// Responses that exist.
    std::size_t open_parts() const {
        const std::scoped_lock lock(mutex_);
        return open_parts_;
    }
    std::uint64_t bytes_of_parts() const {
        const std::scoped_lock lock(mutex_);
        return bytes_of_parts_;
    }
    std::size_t hanging() const {
        const std::scoped_lock lock(mutex_);
        return hanging_;
    }
    /// Waits until `is_so`, which is looked at whenever something happens here.
    template <typename Condition>
    void wait_until(Condition is_so) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (!is_so()) {
            REQUIRE(std::chrono::steady_clock::now() < deadline);
            std::unique_lock lock(mutex_);
            changed_.wait_for(lock, std::chrono::milliseconds(2));
        }
    }

  private:
    class Response final : public http::Response {
      public:
        Response(RangeServer& server, const Answer& answer, bool is_part, std::stop_token stop)
            : server_(server), answer_(answer), is_part_(is_part), stop_(std::move(stop)) {
            status = answer.status;
            headers = answer.headers;
            if (answer.has_length) content_length = answer.body.size();
            const std::scoped_lock lock(server_.mutex_);
            server_.most_open_ = std::max(server_.most_open_, ++server_.open_);
            if (is_part_) ++server_.open_parts_;
        }
        ~Response() override {
            const std::scoped_lock lock(server_.mutex_);
            --server_.open_;
            if (is_part_) --server_.open_parts_;
        }

        std::size_t read(std::span<std::byte> buffer) override {
            if (answer_.at) answer_.at(position_);
            const std::size_t end =
                std::min(answer_.breaks_after.value_or(answer_.body.size()), answer_.body.size());
            std::size_t count = std::min(buffer.size(), end - position_);
            if (!is_part_) count = server_.let_through(position_, count, stop_);
            std::copy_n(answer_.body.data() + position_, count,
                        reinterpret_cast<char*>(buffer.data()));
            position_ += count;
            if (is_part_) server_.count(count);
            if (count > 0 || buffer.empty()) return count;
            if (answer_.hangs) server_.hang(stop_);
            if (answer_.breaks_after) throw Error(Errc::unavailable, "the connection broke");
            return 0;
        }

      private:
        RangeServer& server_;
        Answer answer_;
        bool is_part_;
        std::stop_token stop_;
        std::size_t position_ = 0;
    };

    Answer good(const std::string& range) const {
        if (range.empty()) return {.body = blob_};
        const std::size_t begin = std::stoull(range.substr(range.find('=') + 1));
        const std::string last = range.substr(range.find('-') + 1);
        const std::size_t end = last.empty() ? blob_.size() : std::stoull(last) + 1;
        return {.status = 206,
                .headers = {{"Content-Range", "bytes " + std::to_string(begin) + "-" +
                                                  std::to_string(end - 1) + "/" +
                                                  std::to_string(blob_.size())}},
                .body = blob_.substr(begin, end - begin)};
    }

    std::size_t let_through(std::size_t position, std::size_t count, const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        if (parts_.size() >= rest_waits_for) return count;
        if (position < rest_waits_after) return std::min(count, rest_waits_after - position);
        const bool came = changed_.wait_for(lock, stop, std::chrono::seconds(60),
                                            [&] { return parts_.size() >= rest_waits_for; });
        if (stop.stop_requested()) throw Error(Errc::cancelled, "stopped");
        REQUIRE(came);
        return count;
    }

    void count(std::size_t bytes) {
        const std::scoped_lock lock(mutex_);
        bytes_of_parts_ += bytes;
        changed_.notify_all();
    }

    void hang(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        ++hanging_;
        changed_.notify_all();
        changed_.wait_for(lock, stop, std::chrono::seconds(60), [] { return false; });
        --hanging_;
        if (stop.stop_requested()) throw Error(Errc::cancelled, "stopped");
    }

    std::string_view blob_;
    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    std::vector<Asked> parts_;
    std::vector<Asked> rests_;
    std::size_t open_ = 0;
    std::size_t open_parts_ = 0;
    std::size_t most_open_ = 0;
    std::size_t hanging_ = 0;
    std::uint64_t bytes_of_parts_ = 0;
};

}  // namespace prebake::registry::range_server
