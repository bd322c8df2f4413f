#pragma once

#include <array>
#include <memory>

#include "agent/report/image_rows.h"
#include "agent/report/response.h"
#include "agent/report/router.h"
#include "agent/report/status_holder.h"

namespace prebake::report {

/// `document` as it is in `view`. /readyz has one line for each condition that gates readiness, in
/// the form of the Kubernetes apiserver's, and 503 while the node is not ready. `rows` as of
/// metrics_text(); all else is pure.
/// @throws Error internal for a view that cannot be written as JSON.
Response render(Document document, const NodeView& view, ImageRows& rows);

/// Puts each document of a view together once for all who read it at the same time, so that many
/// slow readers hold one copy. Not thread-safe.
class RenderCache {
  public:
    /// Never null; a refusal (500) if it cannot be rendered.
    std::shared_ptr<const Response> get(Document document,
                                        const std::shared_ptr<const NodeView>& view);

  private:
    struct Copy {
        std::weak_ptr<const Response> response;
        std::weak_ptr<const NodeView> view;
    };
    std::array<Copy, 6> copies_;
    ImageRows rows_;
};

}  // namespace prebake::report
