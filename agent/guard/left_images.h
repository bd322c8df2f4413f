#pragma once

#include <vector>

#include "agent/guard/activity_log.h"
#include "agent/guard/image_health.h"
#include "agent/guard/image_names.h"
#include "agent/guard/protected_images.h"

/// The images in containerd that were deleted, and that are left so.
namespace prebake::guard {

/// Finds out which unpinned images were evicted, which images of Docker somebody removed again
/// after they were restored, and which of these exist again. @throws Error as ImageNames.
void find_left_images(ProtectedImages& images, const ImageNames& names, const ActivityLog& log);

/// What is reported about them: nobody checks them. @return unordered
std::vector<ImageHealth> left_images(const ProtectedImages& images);

}  // namespace prebake::guard
