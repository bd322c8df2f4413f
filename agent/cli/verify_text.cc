#include "agent/cli/verify_text.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "agent/base/format.h"
#include "agent/base/text.h"

namespace prebake::cli {
namespace {

/// Up to this many images, their findings are shown.
constexpr std::size_t kDetailedImages = 5;
/// Of one image.
constexpr std::size_t kShownFindings = 8;

using Findings = std::vector<const store::Finding*>;

/// By image, in the order of the record.
std::vector<Findings> by_image(const store::Verification& result) {
    std::vector<Findings> images;
    std::map<std::pair<std::string, std::string>, std::size_t> seen;  // name and platform
    for (const store::Finding& finding : result.findings) {
        const auto [entry, is_new] =
            seen.try_emplace({finding.image, finding.platform}, images.size());
        if (is_new) images.emplace_back();
        images[entry->second].push_back(&finding);
    }
    return images;
}

std::string word_for(store::Check check) {
    switch (check) {
        case store::Check::holdings:
            return "namespace";
        case store::Check::names:
            return "name";
        case store::Check::blobs:
            return "blob";
        case store::Check::references:
            return "reference";
        case store::Check::snapshots:
            return "snapshot";
        case store::Check::trees:
            return "file";
        case store::Check::cri:
            return "answer";
        case store::Check::signatures:
            return "signature";
    }
    return "";
}

/// "docker.io/library/nginx:1.27 (linux/amd64; k8s.io, moby): 3 names, 5 blobs, 2 answers of CRI"
std::string heading_of(const Findings& findings) {
    std::set<std::string> namespaces;
    std::map<store::Check, std::size_t> numbers;
    for (const store::Finding* finding : findings) {
        namespaces.insert(finding->ns);
        ++numbers[finding->check];
    }
    const std::string& platform = findings.front()->platform;
    std::vector<std::string> what;
    what.reserve(numbers.size());
    for (const auto& [check, number] : numbers) {
        what.push_back(counted(number, word_for(check)) +
                       (check == store::Check::cri ? " of CRI" : ""));
    }
    return findings.front()->image + " (" + (platform.empty() ? "" : platform + "; ") +
           joined(namespaces) + "): " + joined(what) + "\n";
}

std::string details_of(const Findings& findings) {
    std::string text;
    const std::size_t shown = std::min(findings.size(), kShownFindings);
    std::vector<std::string> steps;
    for (std::size_t i = 0; i < shown; ++i) {
        const store::Finding& finding = *findings[i];
        text += "  " + finding.object + ": expected " + finding.expected + ", found " +
                finding.found + "\n";
        if (std::find(steps.begin(), steps.end(), finding.next_step) == steps.end()) {
            steps.push_back(finding.next_step);
        }
    }
    if (shown < findings.size()) {
        text += "  and " + std::to_string(findings.size() - shown) + " more: --json has them all\n";
    }
    for (const std::string& step : steps) text += "  -> " + step + "\n";
    return text;
}

}  // namespace

std::string verdict_word(guard::StoreVerdict verdict) {
    switch (verdict) {
        case guard::StoreVerdict::as_baked:
            return "ok";
        case guard::StoreVerdict::degraded:
            return "degraded";
        case guard::StoreVerdict::not_usable:
            break;
    }
    return "not_ready";
}

std::string findings_text(const store::Verification& result, const VerifyMode& mode) {
    const std::vector<Findings> images = by_image(result);
    const bool is_detailed = images.size() <= kDetailedImages;
    std::string text;
    for (const Findings& findings : images) {
        text += heading_of(findings);
        if (is_detailed) text += details_of(findings);
    }
    if (!is_detailed) {
        const std::string repair =
            mode.is_deep ? "prebake verify --deep --repair; " : "prebake verify --repair; ";
        text +=
            "  -> " + (mode.is_repaired ? "" : repair) + "--json has each finding and what to do\n";
    }
    return text;
}

std::vector<std::string> uncompared_text(const store::Verification& result) {
    struct Group {
        std::size_t snapshots = 0;
        std::set<std::string> images = {};
    };
    std::map<std::string, Group> by_reason;
    for (const store::UncomparedTree& tree : result.uncompared) {
        Group& group = by_reason[tree.reason];
        ++group.snapshots;
        group.images.insert(tree.image);
    }
    std::vector<std::string> lines;
    for (const auto& [reason, group] : by_reason) {
        const std::string others =
            group.images.size() == 1 ? ""
                                     : " and of " + counted(group.images.size() - 1, "other image");
        lines.push_back("the files of " + counted(group.snapshots, "snapshot") + " of " +
                        *group.images.begin() + others + " were not compared: " + reason);
    }
    return lines;
}

std::string verdict_text(const store::Verification& result, guard::StoreVerdict verdict,
                         std::size_t residue, std::size_t repaired) {
    const std::string ok =
        result.uncompared.empty() ? "ok: " : "ok, but not everything could be compared: ";
    std::string text = verdict == guard::StoreVerdict::as_baked   ? ok
                       : verdict == guard::StoreVerdict::degraded ? "DEGRADED: "
                                                                  : "NOT OK: ";
    if (!result.findings.empty()) {
        text += counted(result.findings.size(), "finding") + " about " +
                counted(by_image(result).size(), "image") + "; ";
    }
    if (repaired > 0) text += counted(repaired, "finding") + " repaired; ";
    if (residue > 0) text += counted(residue, "trace") + " of the builder; ";
    text += counted(result.images, "image") + ", " + counted(result.blobs, "blob") + ", " +
            counted(result.snapshots, "snapshot") + " checked";
    if (result.signatures > 0) text += ", " + counted(result.signatures, "signature") + " verified";
    if (result.bytes_read > 0) text += ", " + format_bytes(result.bytes_read) + " read and hashed";
    if (result.trees > 0) {
        text += ", " + counted(result.files, "file") + " of " + counted(result.trees, "snapshot") +
                " compared";
    }
    if (!result.uncompared.empty()) {
        text += ", " + counted(result.uncompared.size(), "snapshot") + " not compared";
    }
    return text + "\n";
}

}  // namespace prebake::cli
