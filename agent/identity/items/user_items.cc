#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// What users left: mail, jobs, histories.
// One line for each path.
// clang-format off
constexpr Item kUserItems[] = {
    // Not /etc/aliases.db, which EC2 Image Builder removes: local mail is deferred until somebody
    // runs newaliases.
    {
        .name = "mail-spool",
        .why =
            "Mail to and from the builder would be on every clone, and each clone would send what "
            "was still queued.",
        .regeneration = "The mail programs recreate it.",
        .targets = {
            remove_inside("/var/mail"),
            remove_inside("/var/spool/mail"),
            remove_inside("/var/spool/postfix/active"),
            remove_inside("/var/spool/postfix/bounce"),
            remove_inside("/var/spool/postfix/corrupt"),
            remove_inside("/var/spool/postfix/defer"),
            remove_inside("/var/spool/postfix/deferred"),
            remove_inside("/var/spool/postfix/hold"),
            remove_inside("/var/spool/postfix/incoming"),
            remove_inside("/var/spool/postfix/maildrop"),
            remove("/var/spool/postfix/pid/master.pid"),
            remove("/var/lib/postfix/master.lock"),
            // State of postfix's random number generator.
            remove("/var/lib/postfix/prng_exch"),
            remove_inside("/var/spool/exim4/input"),
            remove_inside("/var/spool/exim4/msglog"),
            remove_inside("/var/spool/exim4/db"),
            remove_inside("/var/spool/mqueue"),
            remove_inside("/var/spool/clientmqueue"),
        },
        .written_by = {{"postfix*.service"}, {"exim4.service"}, {"sendmail.service"}},
    },
    {
        .name = "at-jobs",
        .why = "A job that was scheduled on the builder would run on every clone.",
        .regeneration = "Not recreated. at(1) schedules new ones.",
        .targets = {
            // Not the counter .SEQ: only a package creates it.
            remove("/var/spool/cron/atjobs/*"),
            remove("/var/spool/cron/atspool/*"),
            remove("/var/spool/at/[!s]*"),
            remove("/var/spool/at/spool/*"),
            remove("/var/spool/atjobs/*"),
            remove("/var/spool/atspool/*"),
        },
        .written_by = {{"atd.service", StopStage::jobs}},
    },
    // Off, because a crontab usually belongs to the image.
    {
        .name = "crontabs",
        .why = "Jobs that users scheduled on the builder would run on every clone.",
        .regeneration = "Not recreated. crontab(1) writes new ones.",
        .by_default = Default::off,
        .targets = {
            remove("/var/spool/cron/crontabs/*"),
            remove("/var/spool/cron/tabs/*"),
        },
        .extra_changes = crontabs_changes,
        .extra_description = "removes the users' files in /var/spool/cron",
    },
    {
        .name = "shell-histories",
        .why =
            "Commands that were typed on the builder, including passwords, would be on every "
            "clone.",
        .regeneration = "The programs write new ones.",
        .targets = {
            remove("~/.bash_history"),
            remove("~/.zsh_history"),
            remove("~/.zhistory"),
            remove("~/.histfile"),
            remove("~/.ash_history"),
            remove("~/.sh_history"),
            remove("~/.ksh_history"),
            remove("~/.history"),
            remove("~/.python_history"),
            remove("~/.node_repl_history"),
            remove("~/.irb_history"),
            remove("~/.php_history"),
            remove("~/.lua_history"),
            remove("~/.mysql_history"),
            remove("~/.mariadb_history"),
            remove("~/.psql_history"),
            remove("~/.sqlite_history"),
            remove("~/.rediscli_history"),
            remove("~/.dbshell"),
            remove("~/.mongorc.js.history"),
            remove("~/.gdb_history"),
            remove("~/.lesshst"),
            remove("~/.viminfo"),
            remove("~/.wget-hsts"),
            remove("~/.zsh_sessions"),
            remove("~/.nano/search_history"),
            remove("~/.local/share/nano/search_history"),
            remove("~/.local/share/fish/fish_history"),
            remove("~/.local/share/mc/history"),
            remove("~/.local/state/lesshst"),
            remove("~/.local/state/nvim/shada"),
            remove("~/.ansible/tmp"),
            remove("~/.ansible/cp"),
        },
    },
    {
        .name = "account-backups",
        .why =
            "Copies would still hold password hashes and group members that were changed on "
            "purpose.",
        .regeneration = "The tools that change accounts write new copies.",
        .targets = {
            remove("/etc/passwd-"),
            remove("/etc/shadow-"),
            remove("/etc/group-"),
            remove("/etc/gshadow-"),
            remove("/etc/subuid-"),
            remove("/etc/subgid-"),
            remove("/var/backups/passwd.bak*"),
            remove("/var/backups/shadow.bak*"),
            remove("/var/backups/group.bak*"),
            remove("/var/backups/gshadow.bak*"),
        },
    },
};
// clang-format on

}  // namespace

std::span<const Item> user_items() {
    return kUserItems;
}

}  // namespace prebake::identity
