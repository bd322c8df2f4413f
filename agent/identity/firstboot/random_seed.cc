#include "agent/identity/firstboot/step.h"
#include "agent/machine/random.h"

namespace prebake::identity::firstboot {
namespace {

constexpr const char* kSeedPath = "/var/lib/systemd/random-seed";

}  // namespace

StepResult ensure_random_seed(const StepContext& context) {
    const machine::Root& root = context.root;
    if (const auto info = root.info(kSeedPath); info && info->size > 0)
        return done("there already");
    if (has_unit(root, "systemd-random-seed.service")) {
        return delegated_to("systemd-random-seed.service");
    }
    if (!root.info("/var/lib/systemd")) return done("nobody here keeps one");
    root.write(kSeedPath, machine::random_bytes(256) + machine::random_bytes(256), our_file(0600));
    return done("made at random");
}

}  // namespace prebake::identity::firstboot
