#include "agent/identity/live_passwords.h"

#include <algorithm>
#include <array>

#include "agent/base/ascii.h"
#include "agent/base/text.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kPasswd = "/etc/passwd";
constexpr std::string_view kShadow = "/etc/shadow";
constexpr std::string_view kGroupShadow = "/etc/gshadow";

template <typename Visit>
void for_each_line_from(std::string_view text, std::size_t from, std::size_t to, Visit visit) {
    for (std::size_t begin = from; begin < to;) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        visit(begin, text.substr(begin, end - begin));
        begin = end + 1;
    }
}

bool is_login_shell(std::string_view shell) {
    static constexpr std::array<std::string_view, 7> kNone{"nologin",  "false", "true",    "sync",
                                                           "shutdown", "halt",  "poweroff"};
    const std::string_view name = shell.substr(shell.rfind('/') + 1);
    return std::find(kNone.begin(), kNone.end(), name) == kNone.end();  // empty is /bin/sh
}

/// crypt(5): "$id$...", BSDi's "_..." and the 13 characters of DES.
bool is_hash(std::string_view password) {
    constexpr std::size_t kDes = 13;
    constexpr std::size_t kBsdi = 20;
    const auto is_digit64 = [](char c) { return is_alphanumeric(c) || c == '.' || c == '/'; };
    if (password.starts_with('$')) return password.find('$', 1) != std::string_view::npos;
    if (password.starts_with('_') && password.size() == kBsdi)
        password.remove_prefix(1);
    else if (password.size() != kDes)
        return false;
    return std::all_of(password.begin(), password.end(), is_digit64);
}

constexpr std::size_t kMaxPasswdBytes = 16UL << 20;

}  // namespace

LivePasswords::LivePasswords(std::string_view passwd) {
    for (const std::string_view line : lines_of(passwd)) {
        constexpr int kShell = 6;
        const std::string_view name = field_of(line, 0);
        // Entries with '+' and '-' include users of a directory service.
        const bool is_account = !name.empty() && name[0] != '+' && name[0] != '-' && name[0] != '#';
        if (is_account && is_login_shell(field_of(line, kShell))) login_users_.emplace(name);
    }
}

LivePasswords::LivePasswords(const machine::Root& root)
    : LivePasswords(root.read(kPasswd, kMaxPasswdBytes).value_or("")) {}

void LivePasswords::locate(std::string_view path, std::string_view text, std::size_t from,
                           std::size_t to, std::vector<secrets::LocatedSecret>& located) {
    const bool is_group = path == kGroupShadow;
    if (path != kPasswd && path != kShadow && !is_group) return;
    // A line belongs to the piece in which it begins.
    if (from > 0 && text[from - 1] != '\n') from = std::min(text.find('\n', from), to - 1) + 1;
    for_each_line_from(text, from, to, [&](std::size_t offset, std::string_view line) {
        const std::string_view name = field_of(line, 0);
        const std::string_view password = field_of(line, 1);
        const bool is_empty = password.empty() && line.find(':') != std::string_view::npos;
        // A group without a password lets only its members in.
        if (is_group ? !is_hash(password) : login_users_.find(name) == login_users_.end()) return;
        if (!is_empty && !is_hash(password)) return;
        const std::string kind = (is_empty ? "empty password" : "password hash") +
                                 std::string(is_group ? " of the group " : " of the user ") +
                                 std::string(name) + (is_group ? "" : ", who can log in");
        located.push_back({*kinds_.insert(kind).first, offset});
    });
}

}  // namespace prebake::identity
