#include <vector>

#include "agent/base/text.h"
#include "agent/identity/firstboot/selinux.h"
#include "agent/identity/firstboot/step.h"
#include "agent/identity/firstboot/text_template.h"
#include "agent/identity/hosts_block.h"

namespace prebake::identity::firstboot {
namespace {

constexpr const char* kHostsPath = "/etc/hosts";
constexpr std::size_t kMaxHostsBytes = 1UL << 20;
/// If there is no file: "localhost" must have an address, because SSM's port forwarding connects to
/// it.
constexpr const char* kLocalHost = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n";

void append(std::string& text, std::string_view line) {
    text.append(line).append("\n");
}

}  // namespace

StepResult write_hosts(const StepContext& context) {
    std::string lines;
    std::vector<std::string> missing;
    for (const std::string_view line : lines_of(context.options.hosts)) {
        const ResolvedTemplate resolved = resolve_template(line, context.metadata);
        missing.insert(missing.end(), resolved.missing.begin(), resolved.missing.end());
        if (resolved.missing.empty()) append(lines, resolved.text);
    }
    const std::string before = context.root.read(kHostsPath, kMaxHostsBytes).value_or(kLocalHost);
    const std::string after = with_hosts_block(before, lines);
    if (after != before) {
        context.root.write(kHostsPath, after, machine::FileAttributes{});
        restore_contexts(context.root, {kHostsPath}, context.stop);
    }
    if (missing.empty()) return done("written");
    return done("written, without lines that need " + joined(missing));
}

}  // namespace prebake::identity::firstboot
