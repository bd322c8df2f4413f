#include "agent/cli/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace prebake::cli {
namespace {

spdlog::logger& logger() {
    static const std::shared_ptr<spdlog::logger> kLogger = [] {
        auto made = std::make_shared<spdlog::logger>(
            "prebake", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
        made->set_pattern("prebake: %^%l%$: %v");
        return made;
    }();
    return *kLogger;
}

}  // namespace

void set_log_level(const std::string& level) {
    logger().set_level(spdlog::level::from_str(level));
}

void log_error(const Error& error) {
    const std::string hint = error.next_step().empty() ? "" : "\n  " + error.next_step();
    // The text is data: it may contain braces.
    logger().error("{}{}", error.message(), hint);
}

void log_warning(const std::string& message) {
    logger().warn("{}", message);
}

void log_info(const std::string& message) {
    logger().info("{}", message);
}

void log_debug(const std::string& message) {
    logger().debug("{}", message);
}

}  // namespace prebake::cli
