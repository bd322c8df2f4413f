#include <algorithm>
#include <array>

#include "agent/oci/manifest.h"

namespace prebake::oci {
namespace {

struct KnownType {
    std::string_view media_type;
    MediaKind kind;
};

constexpr std::array kKnownTypes = {
    KnownType{"application/vnd.oci.image.index.v1+json", MediaKind::index},
    KnownType{"application/vnd.docker.distribution.manifest.list.v2+json", MediaKind::index},
    KnownType{"application/vnd.oci.image.manifest.v1+json", MediaKind::manifest},
    KnownType{"application/vnd.docker.distribution.manifest.v2+json", MediaKind::manifest},
    KnownType{"application/vnd.oci.image.config.v1+json", MediaKind::config},
    KnownType{"application/vnd.docker.container.image.v1+json", MediaKind::config},
    KnownType{"application/vnd.oci.image.layer.v1.tar", MediaKind::layer_tar},
    KnownType{"application/vnd.docker.image.rootfs.diff.tar", MediaKind::layer_tar},
    KnownType{"application/vnd.oci.image.layer.v1.tar+gzip", MediaKind::layer_gzip},
    KnownType{"application/vnd.docker.image.rootfs.diff.tar.gzip", MediaKind::layer_gzip},
    KnownType{"application/vnd.oci.image.layer.v1.tar+zstd", MediaKind::layer_zstd},
    KnownType{"application/vnd.docker.image.rootfs.diff.tar.zstd", MediaKind::layer_zstd},
    KnownType{"application/vnd.oci.image.layer.nondistributable.v1.tar", MediaKind::foreign_layer},
    KnownType{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
              MediaKind::foreign_layer},
    KnownType{"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
              MediaKind::foreign_layer},
    KnownType{"application/vnd.docker.image.rootfs.foreign.diff.tar", MediaKind::foreign_layer},
    KnownType{"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
              MediaKind::foreign_layer},
    KnownType{"application/vnd.docker.distribution.manifest.v1+json", MediaKind::schema1},
    KnownType{"application/vnd.docker.distribution.manifest.v1+prettyjws", MediaKind::schema1},
};

}  // namespace

MediaKind media_kind(std::string_view media_type) {
    media_type = media_type.substr(0, media_type.find(';'));
    while (media_type.ends_with(' ')) media_type.remove_suffix(1);
    const auto found = std::find_if(kKnownTypes.begin(), kKnownTypes.end(), [&](const auto& known) {
        return known.media_type == media_type;
    });
    return found == kKnownTypes.end() ? MediaKind::other : found->kind;
}

bool is_layer(MediaKind kind) {
    return kind == MediaKind::layer_tar || kind == MediaKind::layer_gzip ||
           kind == MediaKind::layer_zstd || kind == MediaKind::foreign_layer;
}

}  // namespace prebake::oci
