#include "agent/identity/firstboot/step.h"
#include "agent/machine/random.h"

namespace prebake::identity::firstboot {
namespace {

constexpr const char* kSeedPath = "/var/lib/systemd/random-seed";

}  // namespace

StepResult ensure_random_seed(const StepContext& context) {
    const machine::Root& root = context.root;
    if (const auto info = root.info(kSeedPath); info && info->size > 0)
        return done("already there");
    if (has_unit(root, "systemd-random-seed.service")) {
        return delegated_to("systemd-random-seed.service");
    }
    if (!root.info("/var/lib/systemd")) return done("no service here uses one");
    root.write(kSeedPath, machine::random_bytes(256) + machine::random_bytes(256), our_file(0600));
    return done("generated randomly");
}

}  // namespace prebake::identity::firstboot
