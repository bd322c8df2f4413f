#include <utmp.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/identity/items/extra_changes.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

constexpr const char* kWtmp = "/var/log/wtmp";
/// Thousands of logins. A shutdown writes a few records.
constexpr std::size_t kMaxBytes = 4UL << 20;

bool is_empty(std::string_view field) {
    return std::all_of(field.begin(), field.end(), [](char c) { return c == '\0'; });
}

/// What systemd and agetty write although nobody logs in (utmp(5)): a terminal begins or ends, or
/// the machine shuts down. The host of a shutdown is the kernel's release.
bool is_anonymous(std::string_view bytes) {
    struct utmp record {};
    std::memcpy(&record, bytes.data(), sizeof record);
    const std::string_view field(record.ut_user, sizeof record.ut_user);
    const std::string_view user = field.substr(0, field.find('\0'));
    if (record.ut_type == RUN_LVL) return user == "shutdown" || user == "runlevel";
    const bool is_terminal = record.ut_type == DEAD_PROCESS || record.ut_type == INIT_PROCESS ||
                             record.ut_type == LOGIN_PROCESS;
    const bool is_nobody = user.empty() || (user == "LOGIN" && record.ut_type == LOGIN_PROCESS);
    return is_terminal && is_nobody && is_empty({record.ut_host, sizeof record.ut_host});
}

/// False for what is no list of such records, as on a machine of another architecture.
bool identifies_nobody(std::string_view records) {
    if (records.size() % sizeof(struct utmp) != 0) return false;
    for (; !records.empty(); records.remove_prefix(sizeof(struct utmp))) {
        if (!is_anonymous(records)) return false;
    }
    return true;
}

}  // namespace

// systemd writes to wtmp after any seal that is not the last step of a shutdown.
Changes login_records_changes(const machine::Root& root, const ItemSettings&) {
    const std::string path = root.resolved_for_change(kWtmp, machine::LastLink::follow);
    const std::optional<machine::FileInfo> info = root.info(path);
    if (!info || info->type != machine::FileType::regular || info->size == 0) return {};
    if (info->size <= kMaxBytes && identifies_nobody(root.read(path, kMaxBytes).value_or("x")))
        return {};
    return {{Change::Kind::truncate, path, {}}};
}

}  // namespace prebake::identity
