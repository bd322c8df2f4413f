#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/identity/firstboot/selinux.h"
#include "agent/identity/firstboot/step.h"
#include "agent/identity/firstboot/text_template.h"
#include "agent/machine/cloud_init.h"
#include "agent/machine/text_format.h"

namespace prebake::identity::firstboot {
namespace {

constexpr const char* kPath = "/etc/hostname";
constexpr std::size_t kMaxBytes = 4096;
constexpr std::size_t kMaxHostName = 64;  // Linux: sethostname(2), HOST_NAME_MAX

/// The name for the kernel: without its domain if the full name is too long.
std::string fitting(const std::string& name) {
    return name.size() <= kMaxHostName ? name : name.substr(0, name.find('.'));
}

std::string set_in_kernel(const std::string& name) {
    if (::sethostname(name.data(), name.size()) == 0) return {};
    return "the host name " + name +
           " is written, but the running kernel keeps its current name until the " +
           "next boot: " + std::system_category().message(errno);
}

}  // namespace

StepResult set_host_name(const StepContext& context) {
    const machine::Root& root = context.root;
    if (context.options.hostname.empty()) return done("left alone, as configured");
    if (machine::cloud_init_is_active(root)) return delegated_to("cloud-init");
    const std::string present(trimmed(root.read(kPath, kMaxBytes).value_or("")));
    if (is_in_place(context.claim) && !present.empty()) return done("already there");
    const ResolvedTemplate resolved = resolve_template(context.options.hostname, context.metadata);
    if (!resolved.missing.empty()) {
        return done("left alone: no value for " + joined(resolved.missing));
    }
    const std::string name = fitting(resolved.text);
    if (!machine::is_dns_name(name)) {
        throw Error(
            Errc::usage,
            "the configured host name becomes \"" + name + "\", which is not a valid host name",
            "change [firstboot] hostname");
    }
    if (name != present) {
        root.write(kPath, name + "\n", our_file(0644));
        restore_contexts(root, {kPath}, context.stop);
    }
    StepResult result = done(name);
    if (root.is_running_machine()) result.warning = set_in_kernel(name);
    return result;
}

}  // namespace prebake::identity::firstboot
