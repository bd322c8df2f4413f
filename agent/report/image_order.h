#pragma once

#include "proto/prebake/v1/node.pb.h"

namespace prebake::report {

/// Whether the image needs attention. A repaired image does not.
inline bool has_problem(const v1::ImageState& image) {
    return image.state() != "usable" && image.state() != "repaired";
}

/// Order for reports that may be truncated: problems first, then repaired images, then the others
/// in their order.
inline bool comes_first(const v1::ImageState& left, const v1::ImageState& right) {
    const auto rank = [](const v1::ImageState& image) {
        return has_problem(image) ? 0 : image.state() == "repaired" ? 1 : 2;
    };
    return rank(left) < rank(right);
}

}  // namespace prebake::report
