#include <algorithm>
#include <string>

#include "agent/base/text.h"
#include "agent/identity/items/all.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/cloud_init.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kSudoers = "/etc/sudoers.d/90-cloud-init-users";

/// Whether cloud-init will create users again. If nobody writes the file again, those who log into
/// a clone have lost root's rights.
bool is_written_again(const machine::Root& root) {
    if (!machine::cloud_init_is_active(root)) return false;
    bool has_module = false;
    for (const char* const pattern : {"/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*.cfg"}) {
        for (const std::string& path : root.match(pattern)) {
            const std::string text = root.read(path, kMaxTextBytes).value_or("");
            for (const std::string_view line : lines_of(text)) {
                const std::vector<std::string_view> words = words_of(line);
                if (words.size() == 2 && words[0] == "users:" && words[1] == "[]") return false;
                has_module |= std::any_of(words.begin(), words.end(), [](std::string_view word) {
                    if (word.starts_with('[')) word.remove_prefix(1);  // with its frequency
                    return word.starts_with("users-groups") || word.starts_with("users_groups");
                });
            }
        }
    }
    return has_module;
}

Changes further(const machine::Root& root, const ItemSettings&) {
    if (!is_written_again(root)) return {};
    return {{Change::Kind::remove, std::string(kSudoers), {}}};
}

}  // namespace

Item cloud_init_users_item() {
    return {
        .name = "cloud-init-users",
        .order = 130,
        .why =
            "Users whom the builder's user-data created would have root's rights on every "
            "clone.",
        .back =
            "cloud-init writes it for the users that it creates on the instance, the default "
            "user among them.",
        .further = further,
        .further_says =
            "removes /etc/sudoers.d/90-cloud-init-users, unless cloud-init would not create users "
            "again",
    };
}

}  // namespace prebake::identity
