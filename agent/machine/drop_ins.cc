#include "agent/machine/drop_ins.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/process.h"

namespace prebake::machine {
namespace {

/// A directory with more files is not a drop-in directory.
constexpr std::size_t kMaxDropIns = 1000;

bool is_name_of_drop_in(std::string_view name) {
    constexpr std::string_view kAllowed =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    constexpr std::array<std::string_view, 2> kBackupEnds{".bak", ".swp"};
    constexpr std::array<std::string_view, 2> kPackageEnds{".dpkg-", ".rpm"};
    if (name.starts_with('.') || name.find_first_not_of(kAllowed) != std::string_view::npos)
        return false;
    return std::none_of(kBackupEnds.begin(), kBackupEnds.end(),
                        [&](std::string_view end) { return name.ends_with(end); }) &&
           std::none_of(kPackageEnds.begin(), kPackageEnds.end(), [&](std::string_view mark) {
               return name.find(mark) != std::string_view::npos;
           });
}

/// Whether only root (in a test: our user) can change it.
bool is_ours_alone(const FileInfo& info) {
    const bool is_owned = info.uid == 0 || info.uid == ::geteuid();
    return is_owned && (info.mode & (S_IWGRP | S_IWOTH)) == 0;
}

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == 0 ? "/" : path.substr(0, slash);
}

/// The directory counts too, because the file can be replaced in it.
bool is_trustworthy(const Root& root, const std::string& path, const FileInfo& file) {
    const std::optional<FileInfo> directory = root.info(parent_of(path));
    return directory && is_ours_alone(*directory) && is_ours_alone(file);
}

}  // namespace

DropIns drop_ins_in(const Root& root, std::string_view directory) {
    DropIns result;
    const std::string where = root.resolved(directory, LastLink::follow);
    const std::optional<FileInfo> directory_info = root.info(where);
    for (const std::string& name : root.names_in(where)) {
        if (!is_name_of_drop_in(name)) continue;
        const std::string path = root.resolved(where + "/" + name, LastLink::follow);
        const std::optional<FileInfo> file = root.info(path);
        if (!file || file->type != FileType::regular || (file->mode & 0111) == 0) continue;
        const bool is_safe = is_ours_alone(*directory_info) && is_trustworthy(root, path, *file);
        (is_safe ? result.names : result.refused).push_back(name);
        if (result.names.size() + result.refused.size() > kMaxDropIns) {
            throw Error(Errc::too_large,
                        root.outside(directory).string() + " holds more than " +
                            std::to_string(kMaxDropIns) + " executables",
                        "move those that are not drop-ins elsewhere");
        }
    }
    return result;
}

void run_drop_in(const Root& root, std::string_view directory, const std::string& name,
                 const DropInRun& run, const std::stop_token& stop) {
    const std::string path = std::string(directory) + "/" + name;
    Command command;
    command.arguments = {root.outside(root.resolved(path, LastLink::keep)).string()};
    command.environment = run.environment;
    command.time_limit = run.time_limit;
    // Its output does not go into errors: these end up in reports and in claim.json, which all
    // users can read.
    in_context(path, [&] {
        const CommandResult result = run_command(command, stop);
        if (result.status == 0) return;
        const std::string log = "/run/prebake/" + name + ".log";
        root.write(log, result.output, {.mode = 0600, .uid = {}, .gid = {}});
        throw Error(Errc::failed_precondition, "ended with status " + std::to_string(result.status),
                    "see what it said: " + root.outside(log).string());
    });
}

}  // namespace prebake::machine
