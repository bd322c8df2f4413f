#include "agent/identity/firstboot/first_boot_steps.h"

namespace prebake::identity::firstboot {
namespace {

/// How this claim started. In the online stage of a boot the decision is always "resume".
std::string origin_of(const v1::Claim& claim) {
    if (claim.has_cloned_from()) return "clone_of_unsealed";
    return claim.unsealed_in_place() ? "unsealed_in_place" : "claim";
}

}  // namespace

const std::vector<NamedStep>& local_steps() {
    static const std::vector<NamedStep> steps{
        {"machine-id", ensure_machine_id},   {"ssh-host-keys", ensure_ssh_host_keys},
        {"random-seed", ensure_random_seed}, {"nvme-ids", ensure_nvme_ids},
        {"iscsi-name", ensure_iscsi_name},   {"snakeoil-certificate", ensure_snakeoil_certificate},
    };
    return steps;
}

std::vector<NamedStep> online_steps(const FirstBootOptions& options) {
    std::vector<NamedStep> steps{{"ssh-host-keys-checked", check_ssh_host_keys},
                                 {"hostname", set_host_name}};
    if (!options.hosts.empty()) steps.push_back({"hosts", write_hosts});
    if (!options.certificate.key_file.empty()) {
        steps.push_back({"host-certificate", ensure_host_certificate});
    }
    return steps;
}

std::vector<std::pair<std::string, std::string>> drop_in_environment(const StepContext& context) {
    const machine::Metadata& metadata = context.metadata;
    return {{"PREBAKE_INSTANCE_ID", metadata.instance.id()},
            {"PREBAKE_PLATFORM", metadata.instance.platform()},
            {"PREBAKE_REGION", metadata.region},
            {"PREBAKE_ZONE", metadata.zone},
            {"PREBAKE_ACCOUNT", metadata.account},
            {"PREBAKE_INSTANCE_TYPE", metadata.instance_type},
            {"PREBAKE_IMAGE_ID", metadata.image_id},
            {"PREBAKE_HOSTNAME", metadata.hostname},
            {"PREBAKE_LOCAL_IPV4", metadata.local_ipv4},
            {"PREBAKE_DECISION", origin_of(context.claim)},
            {"PREBAKE_STATE_DIR", context.options.state_dir}};
}

}  // namespace prebake::identity::firstboot
