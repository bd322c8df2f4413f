#include <sys/random.h>

#include <array>

#include "agent/base/error.h"
#include "agent/identity/steps/step.h"

namespace prebake::identity {
namespace {

constexpr const char* kPath = "/var/lib/systemd/random-seed";

std::string random_bytes() {
    std::array<char, 256> bytes{};  // up to here getrandom(2) is not interrupted
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
        throw Error(Errc::io, "the kernel gives no random bytes");
    }
    return {bytes.data(), bytes.size()};
}

}  // namespace

StepResult ensure_random_seed(const StepContext& context) {
    const Root& root = context.root;
    if (const auto info = root.info(kPath); info && info->size > 0) return done("there already");
    if (has_unit(root, "systemd-random-seed.service")) {
        return delegated_to("systemd-random-seed.service");
    }
    if (!root.info("/var/lib/systemd")) return done("nobody here keeps one");
    root.write(kPath, random_bytes() + random_bytes(), our_file(0600));
    return done("made at random");
}

}  // namespace prebake::identity
