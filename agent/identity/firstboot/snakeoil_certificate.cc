#include "agent/base/process.h"
#include "agent/identity/firstboot/selinux.h"
#include "agent/identity/firstboot/step.h"

namespace prebake::identity::firstboot {
namespace {

constexpr const char* kKey = "/etc/ssl/private/ssl-cert-snakeoil.key";
constexpr const char* kCertificate = "/etc/ssl/certs/ssl-cert-snakeoil.pem";
constexpr const char* kProgram = "make-ssl-cert";

}  // namespace

StepResult ensure_snakeoil_certificate(const StepContext& context) {
    const machine::Root& root = context.root;
    if (const auto info = root.info(kKey); info && info->size > 0) return done("already there");
    if (!root.is_running_machine() || !is_program(kProgram))
        return done("ssl-cert is not installed");
    run_or_throw({.arguments = {kProgram, "generate-default-snakeoil", "--force-overwrite"},
                  .environment = {}},
                 context.stop);
    restore_contexts(root, {kKey, kCertificate}, context.stop);
    return done("created by make-ssl-cert");
}

}  // namespace prebake::identity::firstboot
