#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <utility>

#include "agent/report/image_rows.h"
#include "agent/report/response.h"
#include "agent/report/router.h"
#include "agent/report/status_holder.h"

namespace prebake::report {

/// Renders `resource` from `view`. /readyz has one line for each condition that gates readiness, in
/// the format of the Kubernetes API server, and 503 while the node is not ready. `rows` is updated
/// as by metrics_text(); the rest is pure.
/// Resource::trace is not in the view: see trace_response().
/// @throws Error internal if the view cannot be written as JSON.
Response render(Resource resource, const NodeView& view, ImageRows& rows);

/// The file with what was recorded of the boot, or 404 if nothing was. @throws Error io, too_large.
Response trace_response(const std::filesystem::path& file);

/// Renders each document of a view once. Clients that read it at the same time share one copy.
/// Not thread-safe.
class RenderCache {
  public:
    /// `trace_file` is for trace_response(); it is read for each request.
    explicit RenderCache(std::filesystem::path trace_file = {})
        : trace_file_(std::move(trace_file)) {}

    /// Never null; an error response (500) if the document cannot be rendered.
    std::shared_ptr<const Response> get(Resource resource,
                                        const std::shared_ptr<const NodeView>& view);

  private:
    struct Copy {
        std::weak_ptr<const Response> response;
        std::weak_ptr<const NodeView> view;
    };
    std::filesystem::path trace_file_;
    std::array<Copy, 7> copies_;
    ImageRows rows_;
};

}  // namespace prebake::report
