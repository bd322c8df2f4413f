#include "agent/hydrate/prober.h"

#include <doctest/doctest.h>

#include <deque>
#include <string>
#include <vector>

namespace prebake::hydrate {

namespace prober_test {

using namespace std::chrono_literals;

/// Answers in order of the requests: the start of a chunk takes what is next in `starts`.
class Answers final : public ReadQueue {
  public:
    explicit Answers(std::vector<Seconds> starts) : starts_(starts.begin(), starts.end()) {}

    std::string name() const override { return "answers"; }
    void submit(int, std::uint64_t offset, std::size_t, std::uint64_t tag) override {
        ReadDone done{.tag = tag, .bytes = kReadAlignment, .latency = 30ms};
        if (offset % kChunkBytes == 0) {
            REQUIRE_FALSE(starts_.empty());
            done.latency = starts_.front();
            starts_.pop_front();
        }
        done_.push_back(done);
    }
    std::optional<ReadDone> wait(std::chrono::nanoseconds) override {
        if (done_.empty()) return std::nullopt;
        const ReadDone done = done_.front();
        done_.pop_front();
        return done;
    }
    std::size_t left() const { return starts_.size(); }

  private:
    std::deque<Seconds> starts_;
    std::deque<ReadDone> done_;
};

/// The verdict about one chunk.
ProbeVerdict probe(Answers& answers) {
    std::uint64_t tag = 1;
    Prober prober(answers, -1, {.probed = {5}, .ahead = {}}, tag);
    prober.start({});
    while (const auto done = answers.wait(0ns)) CHECK(prober.take(*done));
    CHECK(prober.has_first());
    prober.go_on({});
    while (const auto done = answers.wait(0ns)) {
        CHECK_FALSE(prober.has_all());
        CHECK(prober.take(*done));
    }
    CHECK(prober.has_all());
    return prober.verdict();
}

TEST_CASE("a second read that is fast is not repeated") {
    Answers answers({30ms, 1ms});
    CHECK(probe(answers).is_confirmed);
}

TEST_CASE("a second read that a busy machine has delayed is repeated") {
    Answers answers({30ms, 25ms, 40ms, 2ms, 1ms});
    const ProbeVerdict verdict = probe(answers);
    CHECK(verdict.is_confirmed);
    CHECK(verdict.repeated == 1);
    CHECK(answers.left() == 1);
}

TEST_CASE("a disk that is always slow stays so") {
    Answers answers(std::vector<Seconds>(7, 30ms));
    const ProbeVerdict verdict = probe(answers);
    CHECK(verdict.cold == 1);
    CHECK(verdict.repeated == 1);
    CHECK_FALSE(verdict.is_confirmed);
    CHECK(answers.left() == 0);
}

}  // namespace prober_test

}  // namespace prebake::hydrate
