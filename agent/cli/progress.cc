#include "agent/cli/progress.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "agent/base/json.h"
#include "agent/cli/terminal_progress.h"
#include "proto/prebake/v1/report.pb.h"

namespace prebake::cli {
namespace {

using bake::Event;

class NoProgress : public bake::EventSink {
  public:
    void on_event(const Event&) override {}
};

class PlainProgress : public bake::EventSink {
  public:
    void on_event(const Event& event) override {
        const std::string line = line_for(event);
        if (line.empty()) return;
        const std::scoped_lock lock(mutex_);
        std::fputs((line + "\n").c_str(), stderr);
    }

  private:
    std::mutex mutex_;
};

class JsonProgress : public bake::EventSink {
  public:
    void on_event(const Event& event) override {
        v1::ProgressEvent line;
        const auto now = std::chrono::system_clock::now().time_since_epoch();
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now);
        line.mutable_time()->set_seconds(seconds.count());
        line.mutable_time()->set_nanos(
            static_cast<int>(std::chrono::nanoseconds(now - seconds).count()));
        line.set_event(std::string(bake::to_string(event.kind)));
        line.set_image(event.image);
        line.set_layer(event.layer);
        line.set_current(event.current);
        line.set_total(event.total);
        line.set_images(static_cast<std::uint32_t>(event.images));
        line.set_message(event.message);
        const std::string text = to_json(line, JsonForm::line) + "\n";
        const std::scoped_lock lock(mutex_);
        std::fputs(text.c_str(), stderr);
    }

  private:
    std::mutex mutex_;
};

/// True if stderr is a terminal on which lines can be redrawn.
bool can_redraw() {
    const char* type = std::getenv("TERM");
    return ::isatty(STDERR_FILENO) == 1 && type != nullptr && *type != '\0' &&
           std::string_view(type) != "dumb";
}

}  // namespace

std::unique_ptr<bake::EventSink> make_progress(ProgressStyle style) {
    switch (style) {
        case ProgressStyle::automatic:
            return make_progress(can_redraw() ? ProgressStyle::terminal : ProgressStyle::plain);
        case ProgressStyle::terminal:
            return std::make_unique<TerminalProgress>();
        case ProgressStyle::plain:
            return std::make_unique<PlainProgress>();
        case ProgressStyle::json:
            return std::make_unique<JsonProgress>();
        case ProgressStyle::none:
            return std::make_unique<NoProgress>();
    }
    return std::make_unique<NoProgress>();
}

}  // namespace prebake::cli
