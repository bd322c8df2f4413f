#include <cstddef>
#include <limits>

#include "agent/oci/json_field.h"
#include "agent/oci/manifest.h"

namespace prebake::oci {
namespace {

constexpr std::size_t kAnyNumber = std::numeric_limits<std::size_t>::max();

void require_texts(const JsonField& object, std::initializer_list<const char*> names) {
    for (const char* name : names) object.member(name).text();
}

/// Refuses members of another type than containerd reads (OCI image-spec, config.md): it reads the
/// whole config whenever it uses the image.
void require_readable_config(const JsonField& root) {
    root.member("created").require_time();
    require_texts(root, {"author", "os.version"});
    root.member("os.features").texts();
    const JsonField config = root.member("config");
    require_texts(config, {"User", "WorkingDir", "StopSignal"});
    for (const char* list : {"Env", "Entrypoint", "Cmd"}) config.member(list).texts();
    for (const char* set : {"ExposedPorts", "Volumes"}) {
        for (const JsonField& member : config.member(set).members(kAnyNumber)) {
            member.require_object();
        }
    }
    config.member("Labels").text_map(kAnyNumber);
    config.member("ArgsEscaped").flag();
    for (const JsonField& entry : root.member("history").elements(kAnyNumber)) {
        entry.member("created").require_time();
        require_texts(entry, {"created_by", "author", "comment"});
        entry.member("empty_layer").flag();
    }
}

}  // namespace

ImageConfig parse_image_config(std::string_view json) {
    const JsonDocument document(json, kMaxConfigBytes);
    const JsonField root = document.root();
    require_readable_config(root);
    ImageConfig config{.platform = Platform::normalised(root.member("os").text(),
                                                        root.member("architecture").text(),
                                                        root.member("variant").text()),
                       .diff_ids = {}};
    const JsonField rootfs = root.member("rootfs");
    rootfs.member("type").text();
    for (const JsonField& diff_id : rootfs.member("diff_ids").elements(kMaxLayers)) {
        config.diff_ids.push_back(diff_id.digest());
    }
    return config;
}

}  // namespace prebake::oci
