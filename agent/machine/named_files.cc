#include "agent/machine/named_files.h"

#include <algorithm>
#include <optional>

namespace prebake::machine {
namespace {

void report(const Error& error, std::vector<Error>& problems) {
    const auto is_same = [&](const Error& other) { return other.message() == error.message(); };
    if (std::none_of(problems.begin(), problems.end(), is_same)) problems.push_back(error);
}

}  // namespace

void validate(std::string_view setting, const Patterns& patterns) {
    for (const std::string& pattern : patterns) {
        const bool has_parent = ("/" + pattern + "/").find("/../") != std::string::npos;
        if ((pattern.starts_with('/') || pattern.starts_with("~/")) && !has_parent) continue;
        throw Error(Errc::usage, std::string(setting) + ": \"" + pattern + "\" names no path",
                    "write an absolute path, or one below ~/, without \"..\"");
    }
}

NamedFiles named_files(const Root& root, const Patterns& patterns) {
    NamedFiles files;
    for (const std::string& pattern : patterns) {
        std::vector<Error> problems;
        const std::vector<std::string> paths = root.match(pattern, problems);
        for (const Error& problem : problems) {
            if (problem.code() != Errc::untrusted) throw Error(problem);
            report(problem, files.problems);
        }
        for (const std::string& path : paths) {
            try {
                const std::string name = root.resolved_for_change(path);
                files.paths.insert(name);
                const std::optional<FileInfo> info = root.info(name);
                if (info && info->type == FileType::symlink)
                    files.targets.insert(root.resolved_for_change(name, LastLink::follow));
            } catch (const Error& error) {
                if (error.code() != Errc::untrusted) throw;
                // The link is what the administrator named, if not what was meant.
                files.paths.insert(path);
                report(error, files.problems);
            }
        }
    }
    return files;
}

}  // namespace prebake::machine
