#include "agent/identity/items/builder_names.h"
#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kMailName = "/etc/mailname";

}  // namespace

Changes mail_name_changes(const machine::Root& root, const ItemSettings&) {
    const std::vector<std::string> names = builder_names(root);
    Changes changes;
    if (const std::optional<std::string> text = read_regular(root, kMailName)) {
        const std::vector<std::string_view> words = words_of(*text);
        // Not emptied: postfix stops if "myorigin = /etc/mailname" gives no name.
        if (!words.empty() && names_builder(words.front(), names))
            changes.push_back({Change::Kind::write, std::string(kMailName), "localhost\n"});
    }
    // Without the setting postfix asks the kernel for the name (postconf(5)).
    const auto sets_own_name = [&names](std::string_view line) {
        const std::vector<std::string_view> words = words_of(line);
        return words.size() == 3 && words[0] == "myhostname" && words[1] == "=" &&
               names_builder(words[2], names);
    };
    strip_lines(root, "/etc/postfix/main.cf", sets_own_name, changes);
    return changes;
}

}  // namespace prebake::identity
