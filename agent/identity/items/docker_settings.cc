#include "agent/identity/items/docker_settings.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <utility>

#include "agent/base/text.h"
#include "agent/identity/items/lines.h"

namespace prebake::identity {
namespace {

/// Units, and what they read options from: Debian's docker.io, Amazon Linux and Red Hat, OpenRC.
constexpr std::array<std::string_view, 11> kOptionFiles{
    "/etc/systemd/system/docker.service",
    "/etc/systemd/system/docker.service.d/*.conf",
    "/usr/local/lib/systemd/system/docker.service",
    "/usr/local/lib/systemd/system/docker.service.d/*.conf",
    "/usr/lib/systemd/system/docker.service",
    "/usr/lib/systemd/system/docker.service.d/*.conf",
    "/lib/systemd/system/docker.service",
    "/etc/default/docker",
    "/etc/sysconfig/docker",
    "/etc/sysconfig/docker-storage",
    "/etc/conf.d/docker"};

void add(std::vector<std::string>& paths, std::string path) {
    if (!is_usable_root(path)) return;
    while (path.ends_with('/')) path.pop_back();
    if (std::find(paths.begin(), paths.end(), path) == paths.end())
        paths.push_back(std::move(path));
}

/// In text without quotes, so that the words of a quoted value are words.
std::string without_quotes_and_comments(std::string_view text) {
    std::string rest;
    for (const std::string_view raw : lines_of(text)) {
        const std::string_view line = trimmed(raw);
        if (line.starts_with('#') || line.starts_with(';')) continue;
        rest.append(line).append(" ");
    }
    std::replace_if(
        rest.begin(), rest.end(), [](char c) { return c == '"' || c == '\'' || c == '\\'; }, ' ');
    return rest;
}

/// The keys of daemon.json that name files.
void read_daemon_json(std::string_view text, DockerSettings& settings) {
    boost::system::error_code error;
    const boost::json::value document = boost::json::parse({text.data(), text.size()}, error);
    if (error || !document.is_object()) return;
    const auto take = [&](const char* key, std::vector<std::string>& paths) {
        const boost::json::value* const value = document.as_object().if_contains(key);
        if (value != nullptr && value->is_string()) add(paths, std::string(value->as_string()));
    };
    take("data-root", settings.data_roots);
    take("graph", settings.data_roots);  // its name up to 22
    take("pidfile", settings.pid_files);
}

bool is_in_memory(const std::string& path) {
    return path.starts_with("/run/") || path.starts_with("/var/run/");
}

}  // namespace

bool is_usable_root(std::string_view path) {
    return path.size() > 1 && path.starts_with('/') && path.find("/..") == std::string_view::npos;
}

std::vector<std::string> values_of_flags(std::string_view text,
                                         const std::vector<std::string_view>& flags) {
    const std::string plain = without_quotes_and_comments(text);
    std::vector<std::string> values;
    bool is_next = false;
    for (std::string_view word : words_of(plain)) {
        // OPTIONS=--data-root=/x
        if (const std::size_t at = word.find("=-"); at != std::string_view::npos)
            word.remove_prefix(at + 1);
        if (std::exchange(is_next, false)) {
            values.emplace_back(word);
            continue;
        }
        for (const std::string_view flag : flags) {
            if (word == flag) is_next = true;
            const bool is_short = flag.size() == 2;
            std::string_view rest = word.substr(std::min(word.size(), flag.size()));
            if (!word.starts_with(flag) || rest.empty()) continue;
            if (!rest.starts_with('=') && !(is_short && rest.starts_with('/'))) continue;
            if (rest.starts_with('=')) rest.remove_prefix(1);
            values.emplace_back(rest);
        }
    }
    return values;
}

DockerSettings docker_settings(const machine::Root& root) {
    DockerSettings settings{
        .data_roots = {"/var/lib/docker"}, .files = {"/etc/docker/daemon.json"}, .pid_files = {}};
    add(settings.data_roots, "/var/snap/docker/common/var-lib-docker");
    for (std::string& path : root.match("/var/snap/docker/*/config/daemon.json"))
        settings.files.push_back(std::move(path));
    for (const std::string_view pattern : kOptionFiles) {
        for (const std::string& path : root.match(pattern)) {
            const std::string text = read_regular(root, path).value_or("");
            for (std::string& value : values_of_flags(text, {"--data-root", "--graph"}))
                add(settings.data_roots, std::move(value));
            for (std::string& value : values_of_flags(text, {"-g"})) {
                // Other programs of a unit have this option, too.
                if (root.info(value + "/volumes")) add(settings.data_roots, std::move(value));
            }
            for (std::string& value : values_of_flags(text, {"--config-file"}))
                add(settings.files, std::move(value));
            for (std::string& value : values_of_flags(text, {"--pidfile"}))
                add(settings.pid_files, std::move(value));
        }
    }
    for (const std::string& path : settings.files)
        read_daemon_json(root.read(path, kMaxTextBytes).value_or(""), settings);
    std::erase_if(settings.pid_files, is_in_memory);
    std::vector<std::string> remapped;
    for (const std::string& path : settings.data_roots) {
        for (std::string& inner : root.match(path + "/[0-9]*.[0-9]*"))
            remapped.push_back(std::move(inner));
    }
    for (std::string& path : remapped) add(settings.data_roots, std::move(path));
    return settings;
}

}  // namespace prebake::identity
