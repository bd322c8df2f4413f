#pragma once

#include <cstddef>
#include <string>

#include "agent/node/board.h"

namespace prebake::report {

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

/// The view in Prometheus' text format. Pure. Of more than `max_images` images, those with the
/// least starts share one series image="other".
std::string metrics_text(const node::NodeView& view, std::size_t max_images = 200);

}  // namespace prebake::report
