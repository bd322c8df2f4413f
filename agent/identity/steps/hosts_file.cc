#include "agent/identity/steps/hosts_file.h"

#include <vector>

#include "agent/base/error.h"
#include "agent/identity/steps/selinux.h"
#include "agent/identity/steps/step.h"
#include "agent/identity/text_form.h"
#include "agent/identity/text_template.h"

namespace prebake::identity {
namespace {

constexpr const char* kPath = "/etc/hosts";
constexpr std::size_t kMaxBytes = 1UL << 20;
constexpr std::string_view kBegin = "# prebake: begin";
constexpr std::string_view kEnd = "# prebake: end";
/// Where there is no file: "localhost" must have an address, SSM's port forwarding dials it.
constexpr const char* kLocalHost = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n";

void append(std::string& text, std::string_view line) {
    text.append(line).append("\n");
}

}  // namespace

std::string with_hosts_block(std::string_view text, std::string_view lines) {
    const std::vector<std::string_view> before = lines_of(text);
    std::string block;
    if (!lines.empty()) {
        append(block, kBegin);
        for (const std::string_view line : lines_of(lines)) append(block, line);
        append(block, kEnd);
    }
    std::string result;
    bool is_placed = false;
    for (std::size_t i = 0; i < before.size(); ++i) {
        if (trimmed(before[i]) != kBegin) {
            append(result, before[i]);
            continue;
        }
        std::size_t end = i + 1;
        while (end < before.size() && trimmed(before[end]) != kEnd) ++end;
        // Somebody took the end mark away: then only the beginning is certainly ours.
        if (end < before.size()) i = end;
        if (!is_placed) result += block;
        is_placed = true;
    }
    return is_placed ? result : result + block;
}

StepResult write_hosts(const StepContext& context) {
    std::string lines;
    std::vector<std::string> missing;
    for (const std::string_view line : lines_of(context.options.hosts)) {
        const ResolvedTemplate resolved = resolve_template(line, context.metadata);
        missing.insert(missing.end(), resolved.missing.begin(), resolved.missing.end());
        if (resolved.missing.empty()) append(lines, resolved.text);
    }
    const std::string before = context.root.read(kPath, kMaxBytes).value_or(kLocalHost);
    const std::string after = with_hosts_block(before, lines);
    if (after != before) {
        context.root.write(kPath, after, FileForm{});
        restore_contexts(context.root, {kPath}, context.stop);
    }
    if (missing.empty()) return done("written");
    return done("written, without the lines that need " + list_of(missing));
}

}  // namespace prebake::identity
