#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// What is written until the end of a build, so it goes last.
// One line for each path.
// clang-format off
constexpr Item kLogItems[] = {
    {
        .name = "crash-reports",
        .why =
            "A core dump holds everything that was in the memory of a process, including keys and "
            "passwords.",
        .regeneration = "Not recreated. The next crash writes a new one.",
        .targets = {
            remove_inside("/var/lib/systemd/coredump"),
            remove_inside("/var/lib/systemd/pstore"),
            remove_inside("/var/crash"),
            remove_inside("/var/spool/abrt"),
            remove_inside("/var/spool/abrt-upload"),
            remove_inside("/var/lib/apport/coredump"),
            remove("/var/lib/whoopsie/whoopsie-id"),
            remove("/core.[0-9]*"),
            remove("~/core.[0-9]*"),
        },
        .written_by = {{"abrt*.service"}},
    },
    {
        .name = "ssm-agent",
        .why =
            "Clones would register with one private key, or be one managed instance. They would "
            "hold the scripts and the output of every command that was run on the builder.",
        .regeneration =
            "amazon-ssm-agent registers the instance when it next starts. A hybrid node needs a "
            "new activation.",
        .on_clone = OnClone::renew,
        .targets = {
            // The snap uses the same paths: it is a classic one. Packages, plugins and manifests
            // are caches without identity.
            remove("/var/lib/amazon/ssm/Vault"),
            remove("/var/lib/amazon/ssm/registration"),
            remove("/var/lib/amazon/ssm/runtimeconfig"),
            remove("/var/lib/amazon/ssm/credentials"),
            remove("/var/lib/amazon/ssm/ipc"),
            remove("/var/lib/amazon/ssm/i-*"),
            remove("/var/lib/amazon/ssm/mi-*"),
            remove("/var/lib/amazon/ssm/document"),
            remove("/var/lib/amazon/ssm/session"),
            remove("/var/lib/amazon/ssm/inventory"),
            // Every clone would run the commands that wait here.
            remove("/var/lib/amazon/ssm/localcommands"),
            remove("/var/lib/amazon/ssm/download"),
            remove("/var/lib/amazon/ssm/update"),
            remove("/var/lib/amazon/ssm/locks"),
        },
        .proofs = {"/var/lib/amazon/ssm/registration"},
        .written_by = {
            {"amazon-ssm-agent.service", StopStage::ssm_agent},
            {"snap.amazon-ssm-agent.amazon-ssm-agent.service", StopStage::ssm_agent},
        },
    },
    {
        .name = "login-records",
        .why = "They show who used the builder, when and from where.",
        .regeneration = "pam_lastlog2, pam_wtmpdb and accton(8) recreate them.",
        .targets = {
            // Databases of recent releases.
            remove("/var/lib/lastlog/lastlog2.db*"),
            remove("/var/lib/wtmpdb/wtmp.db*"),
            // Emptied, because accounting does not start without the file.
            empty("/var/account/pacct"),
            remove("/var/account/pacct.*"),
            remove("/var/account/pacct-*"),
            // Emptied, because mode and group would be lost.
            empty("/var/log/btmp"),
            empty("/var/log/lastlog"),
            empty("/var/log/faillog"),
            empty("/var/log/tallylog"),
        },
        .extra_changes = login_records_changes,
        .extra_description =
            "empty /var/log/wtmp, unless it has only what systemd and agetty write without a "
            "login, as at a shutdown",
        .written_by = {{"psacct.service"}, {"acct.service"}, {"systemd-update-utmp.service"}},
    },
    {
        .name = "resolv-conf",
        .why = "A clone in another network would query the builder's name servers.",
        .regeneration =
            "The DHCP client, NetworkManager or cloud-init writes it when the network comes up.",
        .extra_changes = resolv_conf_changes,
        .extra_description =
            "removes /etc/resolv.conf if its header says that a program generates it at every "
            "boot; never removes a link",
    },
    {
        .name = "temporary-files",
        .why =
            "Scripts, downloads and credentials that the build left there would be on every clone.",
        .regeneration = "Not needed. systemd-tmpfiles creates at boot what must exist.",
        .extra_changes = temporary_files_changes,
        .extra_description =
            "removes everything in /tmp and /var/tmp; on the running machine it keeps the private "
            "directories of running services",
    },
    {
        .name = "logs",
        .why =
            "Logs show who built the image, where and how, and hold what programs should not have "
            "logged.",
        .regeneration =
            "Daemons continue in the emptied files. journald creates a directory for the new "
            "machine-id.",
        .targets = {
            // Below the builder's machine-id. The directory itself stays: it makes journald
            // persistent.
            remove_inside("/var/log/journal"),
            // Their names are those of pods and containers.
            remove_inside("/var/log/pods"),
            remove_inside("/var/log/containers"),
            // Removed, because sadc takes an empty file for a broken one.
            remove("/var/log/sa/sa*"),
            remove("/var/log/sysstat/sa*"),
            // A position in a journal that no longer exists.
            remove("/var/lib/rsyslog/imjournal.state"),
            // Emptied: owner and mode stay, and programs keep writing to files that they have
            // open.
            empty_inside("/var/log"),
            // Often file systems of their own (CIS Benchmarks: audit). A mount point below /var/log
            // is entered only if a target names it.
            empty_inside("/var/log/audit"),
            empty_inside("/var/log/apache2"),
            empty_inside("/var/log/httpd"),
            empty_inside("/var/log/mariadb"),
            empty_inside("/var/log/mysql"),
            empty_inside("/var/log/nginx"),
            empty_inside("/var/log/postgresql"),
            empty_inside("/var/log/remote"),
        },
        .of_another_item = "/var/log/wtmp",
        .extra_changes = logs_changes,
        .extra_description = "removes rotated, compressed and dated logs below /var/log",
        .written_by = {
            {"sysstat-*.timer"},
            {"sysstat.service"},
            {"pmlogger*.timer"},
            {"pmlogger*.service"},
            {"logrotate.timer", StopStage::jobs},
            {"fluent-bit.service", StopStage::loggers},
            {"td-agent.service", StopStage::loggers},
            {"fluentd.service", StopStage::loggers},
            {"filebeat.service", StopStage::loggers},
            {"vector.service", StopStage::loggers},
            {"promtail.service", StopStage::loggers},
            {"syslog.socket", StopStage::loggers},
            {"rsyslog.service", StopStage::loggers},
            {"syslog-ng*.service", StopStage::loggers},
            {"auditd.service", StopStage::loggers, StopBy::kill},
        },
    },
};
// clang-format on

}  // namespace

std::span<const Item> log_items() {
    return kLogItems;
}

}  // namespace prebake::identity
