#include "agent/identity/items/all.h"

namespace prebake::identity {

Item shell_histories_item() {
    return {
        .name = "shell-histories",
        .order = 970,
        .why = "What was typed on the builder, passwords among it, would be on every clone.",
        .back = "The programs make it anew.",
        .targets =
            {
                {Target::What::file, "~/.bash_history"},
                {Target::What::file, "~/.zsh_history"},
                {Target::What::file, "~/.zhistory"},
                {Target::What::file, "~/.histfile"},
                {Target::What::file, "~/.ash_history"},
                {Target::What::file, "~/.sh_history"},
                {Target::What::file, "~/.ksh_history"},
                {Target::What::file, "~/.history"},
                {Target::What::file, "~/.python_history"},
                {Target::What::file, "~/.node_repl_history"},
                {Target::What::file, "~/.irb_history"},
                {Target::What::file, "~/.php_history"},
                {Target::What::file, "~/.lua_history"},
                {Target::What::file, "~/.mysql_history"},
                {Target::What::file, "~/.mariadb_history"},
                {Target::What::file, "~/.psql_history"},
                {Target::What::file, "~/.sqlite_history"},
                {Target::What::file, "~/.rediscli_history"},
                {Target::What::file, "~/.dbshell"},
                {Target::What::file, "~/.mongorc.js.history"},
                {Target::What::file, "~/.gdb_history"},
                {Target::What::file, "~/.lesshst"},
                {Target::What::file, "~/.viminfo"},
                {Target::What::file, "~/.wget-hsts"},
                {Target::What::file, "~/.zsh_sessions"},
                {Target::What::file, "~/.nano/search_history"},
                {Target::What::file, "~/.local/share/nano/search_history"},
                {Target::What::file, "~/.local/share/fish/fish_history"},
                {Target::What::file, "~/.local/share/mc/history"},
                {Target::What::file, "~/.local/state/lesshst"},
                {Target::What::file, "~/.local/state/nvim/shada"},
                {Target::What::file, "~/.ansible/tmp"},
                {Target::What::file, "~/.ansible/cp"},
            },
    };
}

}  // namespace prebake::identity
