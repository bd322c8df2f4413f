#include "agent/daemon/engine_watch.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "agent/oci/reference.h"

namespace prebake::daemon {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstDelay = 500ms;
constexpr auto kMostDelay = 30s;
/// A pull or a prune is many events about images: what they did is read when they are over.
constexpr auto kCalm = 100ms;
/// A dockerd that hangs does not end its stream of events.
constexpr auto kProbeInterval = 20s;
/// Far more than a node has. What is beyond is found by the next listing.
constexpr std::size_t kMaxKnownNames = 4096;
constexpr std::size_t kMaxUnreadEvents = 4096;

bool is_any_of(const std::string& word, std::initializer_list<std::string_view> words) {
    return std::ranges::find(words, word) != words.end();
}

bool is_about_start(const docker::EngineEvent& event) {
    return event.type == "container" && is_any_of(event.action, {"create", "start", "destroy"});
}

bool is_about_image(const docker::EngineEvent& event) {
    return event.type == "image" &&
           is_any_of(event.action, {"pull", "load", "import", "tag", "untag", "delete", "prune"});
}

bool brings_image(const docker::EngineEvent& event) {
    return is_any_of(event.action, {"pull", "load", "import"});
}

/// The name under which EngineSeen has what a client calls `written`.
std::string name_of(const std::string& written, const docker::EngineImage& image) {
    constexpr std::string_view kAlgorithm = "sha256:";
    const std::string_view id = image.id;
    const bool is_id =
        id.starts_with(kAlgorithm) && id.substr(kAlgorithm.size()).starts_with(written);
    if (is_id || written.starts_with(kAlgorithm)) return image.id;
    try {
        const oci::Reference name = oci::Reference::parse(written);
        return name.digest ? name.name() + "@" + name.digest->str() : *name.tag_name();
    } catch (const Error&) {
        return image.id;
    }
}

}  // namespace

/// From one connection to dockerd until it ends.
class EngineWatch::Session {
  public:
    Session(EngineWatch& watch, const std::stop_token& stop)
        : watch_(watch), stop_(stop), on_stop_(stop, [this] { end_.request_stop(); }) {}
    ~Session() { end_.request_stop(); }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// @throws Error that ends it.
    void run(Backoff& backoff) {
        engine_ = watch_.access_.connect(end_.get_token());
        const docker::EngineInfo info = engine_->info();
        is_graph_ = !info.uses_containerd_store;
        watch_.queue_.push(EngineAnswered{.info = info, .file = watch_.access_.read_file()});
        subscribe();
        backoff.reset();
        if (is_graph_) look(true);
        for (;;) work();
    }

  private:
    using SteadyTime = std::chrono::steady_clock::time_point;
    struct Work {
        bool wants_everything = false;
        std::vector<guard::LostTag> tags;
        std::deque<docker::EngineEvent> events;
    };

    /// Events come on a thread of their own, so that none waits for what is read meanwhile.
    void subscribe() {
        Time since;
        {
            const std::scoped_lock lock(watch_.mutex_);
            since = watch_.seen_until_;
            watch_.inbox_.events.clear();
            watch_.inbox_.is_subscribed = false;
            watch_.inbox_.end.reset();
        }
        stream_ = std::jthread([this, since] { follow(since); });
        std::unique_lock lock(watch_.mutex_);
        watch_.wake_.wait(lock, stop_, [&] {
            return watch_.inbox_.is_subscribed || watch_.inbox_.end.has_value();
        });
        throw_if_ended();
    }

    void follow(Time since) {
        std::optional<Error> end;
        try {
            engine_->follow_events(
                since,
                [this] {
                    const std::scoped_lock lock(watch_.mutex_);
                    watch_.inbox_.is_subscribed = true;
                    watch_.wake_.notify_all();
                },
                [this](const docker::EngineEvent& event) { take(event); });
        } catch (const Error& error) {
            end = error;
        } catch (const std::exception& error) {
            end = Error(Errc::internal, error.what());
        }
        const std::scoped_lock lock(watch_.mutex_);
        watch_.inbox_.end = std::move(end);
        watch_.wake_.notify_all();
    }

    void take(const docker::EngineEvent& event) {
        const std::scoped_lock lock(watch_.mutex_);
        watch_.seen_until_ = std::max(watch_.seen_until_, event.at + Time::duration(1));
        if (!is_graph_ || !(is_about_start(event) || is_about_image(event))) return;
        Inbox& inbox = watch_.inbox_;
        if (inbox.events.size() >= kMaxUnreadEvents) {
            inbox.events.clear();
            inbox.wants_everything = true;
        } else {
            inbox.events.push_back(event);
        }
        watch_.wake_.notify_all();
    }

    /// With the lock held. @throws Error
    void throw_if_ended() const {
        if (stop_.stop_requested()) throw Error(Errc::cancelled, "stopped");
        if (watch_.inbox_.end) throw Error(*watch_.inbox_.end);
    }

    void work() {
        const Work work = wait_for_work();
        for (const guard::LostTag& tag : work.tags) try_to_tag(tag);
        for (const docker::EngineEvent& event : work.events) handle(event);
        const SteadyTime now = std::chrono::steady_clock::now();
        if (work.wants_everything) {
            look(true);
        } else if (!tagged_.empty() || (is_dirty_ && work.events.empty())) {
            look(false);
        } else if (now >= asked_at_ + kProbeInterval) {
            static_cast<void>(engine_->info());
            asked_at_ = now;
        }
    }

    Work wait_for_work() {
        const auto patience = is_dirty_ ? std::chrono::milliseconds(kCalm) : kProbeInterval;
        std::unique_lock lock(watch_.mutex_);
        Inbox& inbox = watch_.inbox_;
        watch_.wake_.wait_for(lock, stop_, patience, [&] {
            return inbox.end || inbox.wants_everything || !inbox.tags.empty() ||
                   !inbox.events.empty();
        });
        throw_if_ended();
        const bool wants_everything = std::exchange(inbox.wants_everything, false) && is_graph_;
        return {.wants_everything = wants_everything,
                .tags = std::exchange(inbox.tags, {}),
                .events = std::exchange(inbox.events, {})};
    }

    void handle(const docker::EngineEvent& event) {
        if (is_about_image(event)) {
            is_dirty_ = true;
            names_.clear();
            if (brings_image(event)) brought_.insert(event.id);
            return;
        }
        EngineHappened news{.event = event};
        if (event.action == "create") news.image_name = resolve(event.image);
        watch_.queue_.push(std::move(news));
    }

    /// The loop knows the image of a container before it hears of the container.
    std::string resolve(const std::string& written) {
        if (is_dirty_) look(false);
        const auto known = names_.find(written);
        if (known != names_.end()) return known->second;
        const auto image = engine_->inspect(written);
        std::string name = image ? name_of(written, *image) : std::string();
        if (image && !seen_.contains(name) && remember(name)) look(false);
        names_.emplace(written, name);
        return name;
    }

    bool remember(const std::string& name) {
        return known_.size() < kMaxKnownNames && known_.insert(name).second;
    }

    void try_to_tag(const guard::LostTag& tag) {
        EngineSeen::Tagged done{.tag = tag, .problem = {}};
        try {
            if (!engine_->inspect(tag.image_id)) {
                throw Error(Errc::not_found, "dockerd has no image " + tag.image_id + " any more");
            }
            const oci::Reference name = oci::Reference::parse(tag.name);
            if (!name.tag_name()) {
                throw Error(Errc::not_found, "dockerd gives no digest to an image that it has",
                            "bake it again");
            }
            engine_->tag(tag.image_id, name);
        } catch (const Error& error) {
            if (is_retryable(error.code()) || error.code() == Errc::cancelled) throw;
            done.problem = error;
        }
        tagged_.push_back(std::move(done));
    }

    /// Tells the loop what dockerd has.
    void look(bool with_containers) {
        is_dirty_ = false;
        names_.clear();
        v1::BakeRecord record;
        {
            const std::scoped_lock lock(watch_.mutex_);
            record = watch_.inbox_.record;
        }
        EngineSeen seen{.at = watch_.access_.clock().wall};
        for (const std::string& written : std::exchange(brought_, {})) {
            const auto image = engine_->inspect(written);
            if (!image) continue;
            const std::string name = name_of(written, *image);
            remember(name);
            seen.news.insert(name);
        }
        for (const v1::BakedImage& image : record.images()) {
            for (const v1::Placement& placement : image.placements()) {
                for (const std::string& name : placement.names()) look_up(name, seen);
            }
        }
        std::erase_if(known_, [&](const std::string& name) { return !look_up(name, seen); });
        if (with_containers) seen.containers = containers(seen);
        seen.findings = watch_.access_.check(record, *engine_);
        seen.tagged = std::exchange(tagged_, {});
        seen_.clear();
        for (const auto& [name, image] : seen.images) seen_.insert(name);
        asked_at_ = std::chrono::steady_clock::now();
        watch_.queue_.push(std::move(seen));
    }

    bool look_up(const std::string& name, EngineSeen& seen) {
        if (seen.images.contains(name)) return true;
        auto image = engine_->inspect(name);
        if (!image) return false;
        seen.images.emplace(name, *std::move(image));
        return true;
    }

    /// Their `image` becomes a name in `seen.images`, or is empty.
    std::vector<docker::EngineContainer> containers(EngineSeen& seen) {
        std::vector<docker::EngineContainer> all = engine_->containers();
        for (docker::EngineContainer& container : all) {
            // The name may be another image's by now.
            auto image = engine_->inspect(container.image);
            std::string written = std::exchange(container.image, {});
            if (!image || image->id != container.image_id) {
                written = container.image_id;
                image = engine_->inspect(written);
            }
            if (!image) continue;
            container.image = name_of(written, *image);
            remember(container.image);
            seen.images.emplace(container.image, *std::move(image));
        }
        return all;
    }

    EngineWatch& watch_;
    const std::stop_token stop_;
    std::stop_source end_;
    const std::stop_callback<std::function<void()>> on_stop_;
    std::unique_ptr<docker::Engine> engine_;
    std::atomic<bool> is_graph_ = false;
    bool is_dirty_ = false;                     ///< an event was about an image
    std::set<std::string> brought_;             ///< what such events called them
    std::set<std::string> known_;               ///< names that the record does not have
    std::set<std::string> seen_;                ///< names in the last EngineSeen
    std::map<std::string, std::string> names_;  ///< as clients write them -> as in EngineSeen
    std::vector<EngineSeen::Tagged> tagged_;
    SteadyTime asked_at_ = std::chrono::steady_clock::now();
    std::jthread stream_;  // last: it uses the other members
};

EngineWatch::EngineWatch(EngineAccess access, EventQueue& queue, v1::BakeRecord images)
    : access_(std::move(access)),
      queue_(queue),
      inbox_{.record = std::move(images), .tags = {}, .events = {}, .end = {}},
      seen_until_(access_.clock().wall),
      thread_([this](const std::stop_token& stop) { follow(stop); }) {}

EngineWatch::~EngineWatch() = default;

void EngineWatch::look_at(v1::BakeRecord images) {
    const std::scoped_lock lock(mutex_);
    inbox_.record = std::move(images);
    inbox_.wants_everything = true;
    wake_.notify_all();
}

void EngineWatch::tag(std::vector<guard::LostTag> tags) {
    const std::scoped_lock lock(mutex_);
    inbox_.tags.insert(inbox_.tags.end(), tags.begin(), tags.end());
    wake_.notify_all();
}

void EngineWatch::follow(const std::stop_token& stop) {
    Backoff backoff(kFirstDelay, kMostDelay);
    while (!stop.stop_requested()) {
        try {
            Session(*this, stop).run(backoff);
        } catch (const Error& error) {
            if (stop.stop_requested()) return;
            queue_.push(EngineGone{error});
        } catch (const std::exception& error) {
            queue_.push(EngineGone{Error(Errc::internal, error.what())});
        }
        wait(backoff.next(), stop);
    }
}

void EngineWatch::wait(std::chrono::milliseconds delay, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, delay, [&] { return inbox_.wants_everything; });
    // A session begins with reading everything.
    inbox_.wants_everything = false;
    inbox_.tags.clear();
}

}  // namespace prebake::daemon
