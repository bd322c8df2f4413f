#include <algorithm>
#include <cstdio>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/json.h"
#include "agent/base/text.h"
#include "agent/cli/ask_node.h"
#include "agent/cli/baked_list.h"
#include "agent/cli/commands.h"
#include "agent/cli/log.h"
#include "agent/ledger/ledger_file.h"
#include "agent/store/names.h"
#include "agent/store/record.h"

namespace prebake::cli {
namespace {

constexpr std::chrono::milliseconds kImagesPatience{10'000};
/// As oci::Digest::short_form(), which the record's text need not be good for.
constexpr std::size_t kShortDigest = 19;
constexpr std::size_t kMaxLedgerBytes = 16UL << 20;

/// What the daemon knows of the images. False, with a debug message, if it does not answer.
bool ask_images(const Invocation& invocation, v1::NodeImages& images) {
    if (invocation.config.endpoint.socket.empty()) return false;
    try {
        from_json(ask_node(invocation, "/v1/images", kImagesPatience), images, "prebaked's images",
                  "");
        return true;
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) throw;
        log_debug(error.what());
        images.Clear();
        return false;
    }
}

/// Without the file nothing was counted.
v1::Ledger read_counts(const Invocation& invocation) {
    v1::Ledger ledger;
    const std::filesystem::path path = ledger::ledger_path(invocation.state_dir);
    try {
        from_json(read_file(path, kMaxLedgerBytes), ledger, path.string(), "");
    } catch (const Error& error) {
        if (error.code() != Errc::not_found) log_warning(error.what());
        ledger.Clear();
    }
    return ledger;
}

/// Only the kubelet deletes images by itself, and only in k8s.io.
std::string pin_word(const v1::ListedImage& image) {
    const auto& namespaces = image.namespaces();
    if (std::ranges::find(namespaces, store::kCriNamespace) == namespaces.end()) return "-";
    return image.pinned() ? "yes" : "no";
}

void print_table(const v1::BakedImages& list) {
    std::vector<std::vector<std::string>> rows{
        {"IMAGE", "DIGEST", "PLATFORM", "NAMESPACES", "SIZE", "PINNED", "USED"}};
    for (const v1::ListedImage& image : list.images()) {
        rows.push_back({image.name(), image.digest().substr(0, kShortDigest), image.platform(),
                        joined(image.namespaces(), ","), format_bytes(image.bytes()),
                        pin_word(image),
                        image.starts() == 0 ? "never" : std::to_string(image.starts())});
    }
    std::fputs(format_table(rows, {4}).c_str(), stdout);
    if (list.source() == "daemon") return;
    std::puts("prebaked does not answer: pins are as they were baked, starts as last counted");
}

}  // namespace

ExitCode images_command(const Invocation& invocation) {
    const v1::BakeRecord record = store::read_required_record(invocation.state_dir);
    v1::NodeImages live;
    const bool is_live = ask_images(invocation, live);
    v1::BakedImages list = baked_list(record, live, read_counts(invocation));
    list.set_source(is_live ? "daemon" : "files");
    if (invocation.json) {
        std::puts(to_json(list, JsonForm::indented).c_str());
    } else if (!invocation.quiet) {
        print_table(list);
    }
    return ExitCode::done;
}

}  // namespace prebake::cli
