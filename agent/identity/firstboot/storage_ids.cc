#include "agent/base/error.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/identity/firstboot/selinux.h"
#include "agent/identity/firstboot/step.h"
#include "agent/machine/random.h"
#include "agent/machine/text_format.h"

namespace prebake::identity::firstboot {
namespace {

constexpr std::size_t kMaxConfigBytes = 64UL << 10;
constexpr const char* kHostNqn = "/etc/nvme/hostnqn";
constexpr const char* kHostId = "/etc/nvme/hostid";
constexpr std::string_view kNqnPrefix = "nqn.2014-08.org.nvmexpress:uuid:";
constexpr const char* kInitiatorName = "/etc/iscsi/initiatorname.iscsi";
constexpr std::size_t kMaxIscsiName = 223;  // RFC 7143 4.2.7.1

std::string contents_of(const machine::Root& root, const char* path) {
    return std::string(trimmed(root.read(path, kMaxConfigBytes).value_or("")));
}

/// The UUID for both NVMe files: the one in either of them, or a new one.
std::string nvme_uuid(const std::string& nqn, const std::string& id) {
    if (machine::is_uuid(lower_case(id))) return id;
    if (nqn.starts_with(kNqnPrefix)) {
        std::string uuid = nqn.substr(kNqnPrefix.size());
        if (machine::is_uuid(lower_case(uuid))) return uuid;
    }
    return machine::format_uuid(machine::random_id());
}

/// A line "name=value" that is not a comment.
bool says(std::string_view text, std::string_view assignment) {
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        if (trimmed(text.substr(0, end)).starts_with(assignment)) return true;
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return false;
}

}  // namespace

StepResult ensure_nvme_ids(const StepContext& context) {
    const machine::Root& root = context.root;
    if (!root.info("/etc/nvme")) return done("NVMe over Fabrics is not installed");
    const std::string nqn = contents_of(root, kHostNqn);
    const std::string id = contents_of(root, kHostId);
    if (!nqn.empty() && !id.empty()) return done("already there");
    // nvme-cli's package creates them only when it is installed; nothing does at boot.
    const std::string uuid = nvme_uuid(nqn, id);
    const machine::FileAttributes attributes = our_file(0644);
    if (nqn.empty()) root.write(kHostNqn, std::string(kNqnPrefix) + uuid + "\n", attributes);
    context.crash("nvme-ids:hostnqn");
    if (id.empty()) root.write(kHostId, uuid + "\n", attributes);
    restore_contexts(root, {kHostNqn, kHostId}, context.stop);
    return done("generated randomly");
}

StepResult ensure_iscsi_name(const StepContext& context) {
    const machine::Root& root = context.root;
    if (!root.info("/etc/iscsi")) return done("no iSCSI initiator is installed");
    const std::string text = contents_of(root, kInitiatorName);
    if (says(text, "GenerateName=yes")) return delegated_to("open-iscsi");
    if (says(text, "InitiatorName=")) return done("already there");
    if (has_unit(root, "iscsi-init.service")) return delegated_to("iscsi-init.service");
    if (!is_program("iscsi-iname")) return done("iscsi-iname is not installed");
    const std::string output =
        run_or_throw({.arguments = {"iscsi-iname"}, .environment = {}}, context.stop);
    const std::string_view name = trimmed(output);
    if (!name.starts_with("iqn.") || !machine::is_word(name, kMaxIscsiName, "-.:")) {
        throw Error(Errc::failed_precondition, "iscsi-iname did not generate a valid name");
    }
    root.write(kInitiatorName, "InitiatorName=" + std::string(name) + "\n", our_file(0600));
    restore_contexts(root, {kInitiatorName}, context.stop);
    return done("created by iscsi-iname");
}

}  // namespace prebake::identity::firstboot
