#include "agent/base/text.h"
#include "agent/identity/items/all.h"
#include "agent/identity/items/lines.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kPath = "/etc/ssh/sshd_config.d/50-cloud-init.conf";

Changes further(const machine::Root& root, const ItemSettings&) {
    const std::optional<std::string> text = read_regular(root, kPath);
    if (!text) return {};
    for (const std::string_view line : lines_of(*text)) {
        const std::vector<std::string_view> words = words_of(line);
        if (words.empty()) continue;
        // sshd allows passwords by default, so the line that forbids them must stay until
        // cloud-init has written it again.
        const bool forbids_passwords = words.size() == 2 &&
                                       lower_case(words[0]) == "passwordauthentication" &&
                                       lower_case(words[1]) == "no";
        if (!forbids_passwords) return {{Change::Kind::remove, std::string(kPath), {}}};
    }
    return {};
}

}  // namespace

Item cloud_init_sshd_item() {
    return {
        .name = "cloud-init-sshd",
        .order = 140,
        .why =
            "What the builder's user-data allowed, logins by password among it, would hold for "
            "every clone.",
        .back = "cloud-init writes what the instance's own user-data says (ssh_pwauth).",
        .further = further,
        .further_says =
            "removes /etc/ssh/sshd_config.d/50-cloud-init.conf, unless all that it "
            "does is to forbid passwords",
    };
}

}  // namespace prebake::identity
