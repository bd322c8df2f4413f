// Documents with credentials: Docker's configuration, what helpers answer, the kubelet's
// configuration of providers. The first byte chooses which.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/registry/auth_config.h"
#include "agent/registry/credential_helper.h"
#include "agent/registry/kubelet_flags.h"
#include "agent/registry/kubelet_provider.h"

namespace registry = prebake::registry;
using prebake::Errc;
using prebake::Error;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
    const registry::Repository repository{.registry = "a.io:5000", .path = "team/app"};
    try {
        switch (data[0]) {
            case 'a': {
                const registry::AuthConfig config(text, "f");
                static_cast<void>(config.helper_for(repository));
                static_cast<void>(config.find(repository));
                break;
            }
            case 'h':
                static_cast<void>(registry::parse_helper_answer(text));
                break;
            case 'p':
                for (const auto& provider : registry::parse_provider_config(text, "f")) {
                    // The name becomes a path in the kubelet's directory, and must stay there.
                    if (provider.name.find('/') != std::string::npos) std::abort();
                    for (const std::string& pattern : provider.match_images) {
                        static_cast<void>(registry::matches_image(pattern, repository));
                    }
                }
                break;
            default:
                static_cast<void>(registry::provider_flags_in(text));
        }
    } catch (const Error& error) {
        const bool is_expected = error.code() == Errc::usage || error.code() == Errc::corrupt ||
                                 error.code() == Errc::too_large;
        if (!is_expected) std::abort();
    }
    return 0;
}
