#include "agent/bake/cri_check.h"

#include "agent/base/error.h"
#include "agent/base/wait.h"
#include "agent/containerd/cri.h"

namespace prebake::bake {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPoll{20};

std::string answer_for(const containerd::Cri& cri, const std::string& spelling) {
    const auto image = cri.image_status(spelling);
    return image ? image->id : std::string();
}

}  // namespace

bool cri_selects(const ResolvedImage& image) {
    for (std::size_t i = 0; i < image.indexes.size(); ++i) {
        const oci::Document& document = image.indexes[i];
        const oci::Index index = oci::parse_index(document.descriptor.media_type, document.bytes);
        const oci::Descriptor* selected = oci::select_platform(index, oci::Platform::host());
        const oci::Descriptor& ours = i + 1 < image.indexes.size() ? image.indexes[i + 1].descriptor
                                                                   : image.manifest.descriptor;
        if (selected == nullptr || selected->digest != ours.digest) return false;
    }
    return true;
}

void require_cri_resolves(const containerd::Connection& connection,
                          const std::vector<std::string>& spellings, const oci::Digest& config,
                          std::chrono::milliseconds patience) {
    const containerd::Cri cri(connection);
    const Clock::time_point deadline = Clock::now() + patience;
    for (const std::string& spelling : spellings) {
        for (;;) {
            const std::string id = answer_for(cri, spelling);
            if (id == config.str()) break;
            if (Clock::now() >= deadline) {
                throw Error(Errc::failed_precondition,
                            "CRI does not resolve \"" + spelling + "\" to " + config.str() +
                                (id.empty() ? ": it knows no such image" : ": it has " + id),
                            "see containerd's log for the reason; a pod that asks for this name "
                            "would pull it");
            }
            sleep_for(kPoll, connection.stop());
        }
    }
}

}  // namespace prebake::bake
