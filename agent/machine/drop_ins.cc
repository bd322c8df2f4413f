#include "agent/machine/drop_ins.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/file_trust.h"
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

/// @throws Error untrusted if users other than root (in a test: than ours) can change it.
void require_ours_alone(const Root& root, const std::string& path, const Ownership& file) {
    if (is_changed_only_by({::geteuid()}, file)) return;
    throw Error(Errc::untrusted,
                root.outside(path).string() + " can be changed by users other than root (" +
                    to_string(file) + ")",
                "run chown root and chmod go-w on it");
}

/// The executable at `path`, opened, if there is one. What is verified is what was opened, and
/// nobody else can put another file there: the directories count, too, up to the root.
/// @throws Error untrusted as require_ours_alone(), and for a link that is not trusted.
std::optional<FileDescriptor> open_executable(const Root& root, const std::string& path) {
    const std::string real = root.resolved_for_change(path, LastLink::follow);
    const std::optional<FileInfo> there = root.info(real);
    if (!there || there->type != FileType::regular) return std::nullopt;
    for (std::string directory = real; directory != "/";) {
        directory = directory.substr(0, std::max<std::size_t>(directory.rfind('/'), 1));
        if (const std::optional<FileInfo> info = root.info(directory))
            require_ours_alone(root, directory, ownership_of(*info));
    }
    FileDescriptor file = root.open(real);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) throw errno_error("cannot look at", root.outside(path));
    if ((status.st_mode & 0111) == 0) return std::nullopt;
    require_ours_alone(root, real, {status.st_uid, status.st_gid, status.st_mode & 07777, false});
    return file;
}

}  // namespace

DropIns drop_ins_in(const Root& root, std::string_view directory) {
    DropIns result;
    const std::string where = root.resolved(directory, LastLink::follow);
    for (const std::string& name : root.names_in(where)) {
        if (!is_name_of_drop_in(name)) continue;
        try {
            if (open_executable(root, std::string(directory) + "/" + name))
                result.names.push_back(name);
        } catch (const Error& error) {
            if (error.code() != Errc::untrusted) throw;
            result.refused.push_back({name, error});
        }
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
    command.arguments = {root.outside(path).string()};
    command.environment = run.environment;
    // Its $0 names the open file, which tells a script nothing about where it is.
    command.environment.emplace_back("PREBAKE_DROP_IN", command.arguments.front());
    command.time_limit = run.time_limit;
    // Its output does not go into errors: these end up in reports and in claim.json, which all
    // users can read.
    in_context(path, [&] {
        const std::optional<FileDescriptor> file = open_executable(root, path);
        if (!file) throw Error(Errc::not_found, "there is no such executable");
        command.executable = file->get();
        const CommandResult result = run_command(command, stop);
        if (result.status == 0) return;
        const std::string log = "/run/prebake/" + name + ".log";
        root.write(log, result.output, {.mode = 0600, .uid = {}, .gid = {}});
        throw Error(Errc::failed_precondition, "ended with status " + std::to_string(result.status),
                    "see what it said: " + root.outside(log).string());
    });
}

}  // namespace prebake::machine
