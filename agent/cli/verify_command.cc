#include <algorithm>
#include <cstdio>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "agent/bake/signature_check.h"
#include "agent/base/format.h"
#include "agent/base/json.h"
#include "agent/cli/bake_context.h"
#include "agent/cli/commands.h"
#include "agent/cli/docker_host.h"
#include "agent/cli/log.h"
#include "agent/cli/repair.h"
#include "agent/cli/residue_report.h"
#include "agent/cli/trust_rules.h"
#include "agent/cli/verify_text.h"
#include "agent/guard/image_health.h"
#include "agent/identity/residue.h"
#include "agent/store/engine_check.h"
#include "agent/store/placements.h"
#include "agent/store/record.h"
#include "agent/store/verify.h"
#include "proto/prebake/v1/report.pb.h"

namespace prebake::cli {
namespace {

v1::VerifyReport document_of(const store::Verification& result) {
    v1::VerifyReport report;
    report.set_schema("prebake.v1.VerifyReport");
    report.set_images(static_cast<std::uint32_t>(result.images));
    report.set_blobs(result.blobs);
    report.set_snapshots(result.snapshots);
    report.set_bytes_read(result.bytes_read);
    report.set_signatures(static_cast<std::uint32_t>(result.signatures));
    report.set_snapshots_compared(result.trees);
    report.set_files_compared(result.files);
    for (const store::UncomparedTree& tree : result.uncompared) {
        v1::UncomparedSnapshot& out = *report.add_not_compared();
        out.set_image(tree.image);
        out.set_platform(tree.platform);
        out.set_namespace_(tree.ns);
        out.set_snapshot(tree.snapshot);
        out.set_reason(tree.reason);
    }
    for (const store::Finding& finding : result.findings) {
        v1::Finding& out = *report.add_findings();
        out.set_image(finding.image);
        out.set_namespace_(finding.ns);
        out.set_platform(finding.platform);
        out.set_object(finding.object);
        out.set_expected(finding.expected);
        out.set_found(finding.found);
        out.set_next_step(finding.next_step);
        if (finding.kind != store::FindingKind::tree_damaged) continue;
        out.set_layer(finding.layer);
        out.set_path(finding.path);
        out.set_snapshot(finding.subject);
    }
    return report;
}

/// What was found of this machine and not of what was baked. Removes these findings.
std::vector<std::string> take_warnings(store::Verification& result) {
    std::vector<std::string> warnings;
    const std::vector<std::string> uncompared = uncompared_text(result);
    warnings.insert(warnings.end(), uncompared.begin(), uncompared.end());
    std::size_t ignored_pins = 0;
    std::string about_pins;
    if (result.not_asked > 0) {
        warnings.push_back("CRI was not asked about " + counted(result.not_asked, "image") +
                           " in k8s.io: containerd serves no CRI here, because " +
                           result.cri.problem + "; " + result.cri.next_step);
    }
    for (const store::Finding& finding : result.findings) {
        if (!store::is_about_machine(finding.kind)) continue;
        if (finding.kind == store::FindingKind::pin_ignored) {
            ++ignored_pins;
            about_pins = finding.next_step;
            continue;
        }
        warnings.push_back(finding.image + ": CRI on this machine would pull it: expected " +
                           finding.expected + ", found " + finding.found + "; " +
                           finding.next_step);
    }
    if (ignored_pins > 0) {
        warnings.push_back("this containerd ignores the pins of " + counted(ignored_pins, "image") +
                           "; " + about_pins);
    }
    std::erase_if(result.findings, [](const store::Finding& finding) {
        return store::is_about_machine(finding.kind);
    });
    return warnings;
}

/// Checks what is left of the builder, and prints it unless it goes into a document.
v1::ResidueReport check_seal(const Invocation& invocation) {
    v1::ResidueReport residue = identity::check(machine::Root("/"),
                                                {.scope = invocation.config.seal,
                                                 .search = invocation.config.search,
                                                 .limits = invocation.config.scan,
                                                 .state_dir = invocation.state_dir.string()},
                                                invocation.signals.token());
    if (!invocation.json) print_residue(residue, invocation.quiet);
    return residue;
}

/// Adds what dockerd's graph driver has of the images that are recorded there.
void check_docker(const Invocation& invocation, const v1::BakeRecord& record,
                  std::optional<DockerHost>& docker, store::Verification& found) {
    const std::vector<std::string>& named = invocation.named_namespaces;
    const bool is_named = named.empty() || std::find(named.begin(), named.end(),
                                                     store::kDockerNamespace) != named.end();
    const v1::BakeRecord images = store::only_in_engine(record);
    if (!is_named || images.images_size() == 0) return;
    if (!docker) docker.emplace(invocation, log_warning);
    std::vector<store::Finding> findings = store::check_engine(images, docker->engine());
    std::move(findings.begin(), findings.end(), std::back_inserter(found.findings));
    const v1::BakeRecord elsewhere = store::only_in_containerd(record);
    for (const v1::BakedImage& image : images.images()) {
        if (store::find_image(elsewhere, image.name(), image.platform()) == nullptr) ++found.images;
    }
}

/// A graph driver has no place for the signatures of its images.
std::string unchecked_signatures(const v1::BakeRecord& record) {
    const v1::BakeRecord in_engine = store::only_in_engine(record);
    const auto signed_images = std::ranges::count_if(
        in_engine.images(),
        [](const v1::BakedImage& image) { return image.signatures_size() > 0; });
    if (signed_images == 0) return {};
    return "the signatures of " + counted(static_cast<std::size_t>(signed_images), "image") +
           " in dockerd's graph driver were verified when they were baked, and are not kept";
}

/// Without a record that can be used no image is known to be usable: prebake status says the same.
ExitCode report_unusable_record(const Invocation& invocation, const Error& error) {
    log_error(error);
    if (!invocation.json) return ExitCode::not_ready;
    v1::VerifyReport report = document_of({});
    report.set_verdict(verdict_word(guard::StoreVerdict::not_usable));
    v1::Finding& finding = *report.add_findings();
    finding.set_object("bake record " + store::record_path(invocation.state_dir).string());
    finding.set_expected("a bake record that this version can read");
    finding.set_found(error.message());
    finding.set_next_step(error.next_step());
    std::puts(to_json(report, JsonForm::indented).c_str());
    return ExitCode::not_ready;
}

bool is_record_unusable(Errc code) {
    return code == Errc::corrupt || code == Errc::unsupported || code == Errc::too_large;
}

}  // namespace

ExitCode verify_command(const Invocation& invocation, const VerifyArguments& arguments) {
    std::optional<v1::ResidueReport> residue;
    if (arguments.sealed) residue = check_seal(invocation);
    std::optional<bake::BakeLock> lock;
    if (arguments.repair) lock = lock_for_repair(invocation);
    v1::BakeRecord record;
    try {
        record = store::read_required_record(invocation.state_dir);
    } catch (const Error& error) {
        if (!is_record_unusable(error.code())) throw;
        return report_unusable_record(invocation, error);
    }
    const containerd::Connection connection(invocation.config.address, invocation.signals.token());
    const WantedSandbox sandbox = wanted_sandbox(invocation.config, connection);
    const store::VerifyOptions options{
        .depth = arguments.deep ? store::Depth::content : store::Depth::metadata,
        .namespaces = invocation.named_namespaces,
        .snapshotter = invocation.config.snapshotter,
        .sandbox = sandbox.name};
    const trust::Policy policy = policy_of(invocation.config.trust_rules);
    std::optional<DockerHost> docker;
    std::vector<std::string> warnings;
    const auto verify = [&] {
        store::Verification found =
            store::verify(store::only_in_containerd(record), connection, options);
        check_docker(invocation, record, docker, found);
        bake::SignatureCheck signatures =
            bake::check_signatures(store::only_in_containerd(record), policy, connection,
                                   {.namespaces = options.namespaces, .sandbox = sandbox.name});
        found.signatures = signatures.verified;
        std::move(signatures.findings.begin(), signatures.findings.end(),
                  std::back_inserter(found.findings));
        warnings = take_warnings(found);
        std::move(signatures.notes.begin(), signatures.notes.end(), std::back_inserter(warnings));
        const std::string unchecked = unchecked_signatures(record);
        if (!unchecked.empty()) warnings.push_back(unchecked);
        if (!sandbox.doubt.empty() && found.is_for_pods) warnings.push_back(sandbox.doubt);
        if (found.lacks_sandbox) {
            warnings.push_back(
                "CRI's sandbox image " + sandbox.name +
                " is not here: the bake left it out (sandbox = \"never\"), and no pod "
                "starts until it is pulled; prebake bake " +
                sandbox.name);
        }
        return found;
    };
    const auto verify_again = [&] {
        record = store::read_required_record(invocation.state_dir);
        return verify();
    };
    store::Verification result = verify();
    std::size_t repaired = 0;
    if (lock && !result.findings.empty()) {
        const std::size_t before = result.findings.size();
        result = repair(invocation, *lock, record, result, verify_again);
        repaired = before - std::min(before, result.findings.size());
    }
    for (const std::string& warning : warnings) log_warning(warning);
    const auto traces = static_cast<std::size_t>(residue ? residue->residue_size() : 0);
    const guard::StoreVerdict verdict =
        traces > 0 ? guard::StoreVerdict::not_usable : guard::judge(record, result.findings);
    const bool is_ok = verdict == guard::StoreVerdict::as_baked;
    if (invocation.json) {
        v1::VerifyReport report = document_of(result);
        report.set_ok(is_ok);
        report.set_verdict(verdict_word(verdict));
        report.set_repaired(static_cast<std::uint32_t>(repaired));
        for (const std::string& warning : warnings) report.add_warnings(warning);
        if (residue) *report.mutable_sealed() = *residue;
        std::puts(to_json(report, JsonForm::indented).c_str());
    } else if (!invocation.quiet || !is_ok) {
        std::fputs(
            findings_text(result, {.is_deep = arguments.deep, .is_repaired = arguments.repair})
                .c_str(),
            stdout);
        std::fputs(verdict_text(result, verdict, traces, repaired).c_str(), stdout);
    }
    switch (verdict) {
        case guard::StoreVerdict::as_baked:
            return ExitCode::done;
        case guard::StoreVerdict::degraded:
            return ExitCode::partial;
        case guard::StoreVerdict::not_usable:
            break;
    }
    return ExitCode::not_ready;
}

}  // namespace prebake::cli
