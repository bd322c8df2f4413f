#include "agent/identity/items/all.h"
#include "agent/identity/items/builder_names.h"
#include "agent/identity/items/lines.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kMailName = "/etc/mailname";

Changes further(const machine::Root& root, const ItemSettings&) {
    const std::vector<std::string> names = builder_names(root);
    Changes changes;
    if (const std::optional<std::string> text = read_regular(root, kMailName)) {
        const std::vector<std::string_view> words = words_of(*text);
        // Not emptied: postfix stops if "myorigin = /etc/mailname" leads to nothing.
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

}  // namespace

Item mail_name_item() {
    return {
        .name = "mail-name",
        .order = 20,
        .why = "Every clone would send its mail in the name of the builder.",
        .back = "Nobody; an image whose clones send mail sets it at first boot.",
        .further = further,
        .further_says =
            "writes \"localhost\" to /etc/mailname and takes \"myhostname\" out of "
            "/etc/postfix/main.cf, if they name the builder",
    };
}

}  // namespace prebake::identity
