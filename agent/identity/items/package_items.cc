#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// Installers and package managers.
// One line for each path.
// clang-format off
constexpr Item kPackageItems[] = {
    {
        .name = "installer-remains",
        .why =
            "The answers to the installer's questions, including root's password hash, would be "
            "on every clone.",
        .regeneration = "Not recreated.",
        .targets = {
            remove("/root/anaconda-ks.cfg"),
            remove("/root/original-ks.cfg"),
            remove("/root/initial-setup-ks.cfg"),
            remove("/root/anaconda-post.log"),
            remove("/root/install.log"),
            remove("/root/install.log.syslog"),
            remove("/var/log/installer"),
            remove("/var/log/anaconda"),
            // debconf's answers of type "password".
            empty("/var/cache/debconf/passwords.dat"),
            remove("/var/cache/debconf/passwords.dat-old"),
        },
    },
    {
        .name = "package-manager-ids",
        .why = "Mirrors would count all clones as one machine.",
        .regeneration = "The package manager generates new ones.",
        .targets = {
            remove("/var/lib/yum/uuid"),
            remove("/var/lib/dnf/repos/*/countme"),
            remove("/var/lib/zypp/AnonymousUniqueId"),
        },
    },
    {
        .name = "popularity-contest",
        .why = "Debian's and Ubuntu's statistics would count all clones as one machine.",
        .regeneration =
            "The package generates a new ID when it is next configured (dpkg-reconfigure(8)). "
            "Until then it reports nothing.",
        .extra_changes = popularity_contest_changes,
        .extra_description = "removes MY_HOSTID from /etc/popularity-contest.conf",
    },
    // Off, because `dnf autoremove` needs it to know which packages were installed as
    // dependencies.
    {
        .name = "package-history",
        .why = "It shows who installed what on the builder, and when.",
        .regeneration = "The package manager starts a new one.",
        .by_default = Default::off,
        .targets = {
            remove("/var/lib/dnf/history*"),
            remove("/var/lib/yum/history"),
            remove("/var/lib/PackageKit/transactions.db"),
        },
    },
    // Off, because they neither identify a machine nor hold secrets, and clones may need them.
    {
        .name = "package-caches",
        .why = "They only take space on every clone.",
        .regeneration =
            "The package manager fetches them again, which takes time on each clone that installs "
            "something.",
        .by_default = Default::off,
        .targets = {
            remove("/var/cache/apt/archives/*.deb"),
            remove("/var/cache/apt/archives/partial/*.deb"),
            remove("/var/cache/apt/*.bin"),
            remove("/var/lib/apt/lists/*_*"),
            remove("/var/lib/apt/lists/partial/*"),
            remove_inside("/var/cache/dnf"),
            remove_inside("/var/cache/libdnf5"),
            remove_inside("/var/cache/yum"),
            remove_inside("/var/cache/zypp"),
            remove("~/.cache/pip"),
        },
        .written_by = {
            {"apt-daily.timer", StopStage::jobs},
            {"apt-daily-upgrade.timer", StopStage::jobs},
            {"apt-daily.service", StopStage::jobs},
            {"unattended-upgrades.service", StopStage::jobs},
            {"dnf-makecache.timer", StopStage::jobs},
            {"dnf-makecache.service", StopStage::jobs},
            {"dnf-automatic*.timer", StopStage::jobs},
            {"yum-cron.service", StopStage::jobs},
            {"packagekit.service", StopStage::jobs},
        },
    },
};
// clang-format on

}  // namespace

std::span<const Item> package_items() {
    return kPackageItems;
}

}  // namespace prebake::identity
