#pragma once

#include "proto/prebake/v1/node.pb.h"

namespace prebake::report {

/// True if somebody has to look at it. What was repaired is well again.
inline bool has_problem(const v1::ImageState& image) {
    return image.state() != "usable" && image.state() != "repaired";
}

/// For reports that may have to end early: problems first, then what was repaired. Else as they
/// are.
inline bool comes_first(const v1::ImageState& left, const v1::ImageState& right) {
    const auto rank = [](const v1::ImageState& image) {
        return has_problem(image) ? 0 : image.state() == "repaired" ? 1 : 2;
    };
    return rank(left) < rank(right);
}

}  // namespace prebake::report
