#pragma once

namespace prebake::layer {

/// What happens to whiteouts: entries named `.wh.NAME`, which remove NAME of lower layers, and
/// `.wh..wh..opq`, which hides all that lower layers have in that directory.
enum class Whiteouts {
    overlay,  ///< for the upper directory of an overlay mount: character devices 0:0, and the xattr
              ///< trusted.overlay.opaque
    apply,  ///< in a plain directory (the first layer, a full copy of the lower layers): what they
            ///< name is removed, except for what this layer brought
};

}  // namespace prebake::layer
