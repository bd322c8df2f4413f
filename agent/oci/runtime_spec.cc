#include "agent/oci/runtime_spec.h"

#include <boost/json.hpp>
#include <utility>

#include "agent/base/error.h"
#include "agent/oci/json_field.h"
#include "agent/oci/manifest.h"

namespace prebake::oci {
namespace {

namespace json = boost::json;

json::array texts_of(const std::vector<std::string>& texts) {
    json::array array;
    for (const std::string& text : texts) array.emplace_back(text);
    return array;
}

json::object mount_of(std::string_view place, std::string_view type, std::string_view source,
                      json::array options) {
    return {{"destination", place},
            {"type", type},
            {"source", source},
            {"options", std::move(options)}};
}

json::array mounts_for(const RuntimeOptions& options) {
    json::array mounts{
        mount_of("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
        mount_of("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
        mount_of("/dev/pts", "devpts", "devpts",
                 {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
        mount_of("/dev/shm", "tmpfs", "shm",
                 {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
        mount_of("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
        mount_of("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
        // Programs size themselves by their limits.
        mount_of("/sys/fs/cgroup", "cgroup", "cgroup",
                 {"nosuid", "noexec", "nodev", "relatime", "ro"}),
    };
    for (const BoundFile& bound : options.files) {
        mounts.push_back(mount_of(bound.place, "bind", bound.file, {"rbind", "rprivate", "ro"}));
    }
    return mounts;
}

json::array namespaces_for(ContainerNetwork network) {
    json::array namespaces;
    for (const char* type : {"pid", "ipc", "uts", "mount"}) {
        namespaces.push_back(json::object{{"type", type}});
    }
    if (network == ContainerNetwork::loopback) {
        namespaces.push_back(json::object{{"type", "network"}});
    }
    return namespaces;
}

json::object process_for(const RunConfig& config, const RuntimeOptions& options) {
    const json::array capabilities{
        "CAP_AUDIT_WRITE", "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",    "CAP_FSETID",
        "CAP_KILL",        "CAP_MKNOD",   "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",   "CAP_SETFCAP",
        "CAP_SETGID",      "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT"};
    json::array environment = texts_of(config.environment);
    if (environment.empty()) {
        environment.emplace_back(
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    }
    json::array groups;
    for (const std::uint32_t gid : options.user.groups) groups.emplace_back(gid);
    const json::object user{
        {"uid", options.user.uid}, {"gid", options.user.gid}, {"additionalGids", groups}};
    const json::object sets{
        {"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}};
    return {{"terminal", false},
            {"user", user},
            {"args", texts_of(options.program)},
            {"env", environment},
            {"cwd", config.directory.empty() ? "/" : config.directory},
            {"capabilities", sets},
            {"noNewPrivileges", false}};
}

}  // namespace

RunConfig parse_run_config(std::string_view json) {
    const JsonDocument document(json, kMaxConfigBytes);
    const JsonField config = document.root().member("config");
    return {.entrypoint = config.member("Entrypoint").texts(),
            .command = config.member("Cmd").texts(),
            .environment = config.member("Env").texts(),
            .directory = config.member("WorkingDir").text(),
            .user = config.member("User").text()};
}

std::vector<std::string> program_of(const RunConfig& config,
                                    const std::vector<std::string>& command) {
    std::vector<std::string> program = config.entrypoint;
    const std::vector<std::string>& rest = command.empty() ? config.command : command;
    program.insert(program.end(), rest.begin(), rest.end());
    if (!program.empty()) return program;
    throw Error(Errc::usage, "the image does not say what to run",
                "name the command after the image: prebake record REF -- COMMAND");
}

std::string runtime_spec(const RunConfig& config, const RuntimeOptions& options) {
    const json::object no_devices{{"allow", false}, {"access", "rwm"}};  // runc adds the usual ones
    const json::object linux_part{
        {"cgroupsPath", options.cgroup},
        {"resources", json::object{{"devices", json::array{no_devices}}}},
        {"namespaces", namespaces_for(options.network)},
        {"maskedPaths", json::array{"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys",
                                    "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                                    "/proc/sched_debug", "/proc/scsi", "/sys/firmware"}},
        {"readonlyPaths",
         json::array{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}};
    const json::object spec{{"ociVersion", "1.0.2"},
                            {"process", process_for(config, options)},
                            {"root", json::object{{"path", "rootfs"}, {"readonly", false}}},
                            {"hostname", "prebake-record"},
                            {"mounts", mounts_for(options)},
                            {"linux", linux_part}};
    return json::serialize(spec);
}

}  // namespace prebake::oci
