#pragma once

#include <string>

#include "agent/report/image_rows.h"
#include "agent/report/status_holder.h"

namespace prebake::report {

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

/// The view in Prometheus' text format. `rows` keeps the rows of earlier calls, so that no counter
/// falls from one scrape to the next.
std::string metrics_text(const NodeView& view, ImageRows& rows);

}  // namespace prebake::report
