#include "agent/cli/bake_context.h"

#include <sys/prctl.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "agent/base/text.h"
#include "agent/cli/image_list_file.h"
#include "agent/cli/log.h"
#include "agent/cli/trust_rules.h"
#include "agent/containerd/config_file.h"
#include "agent/containerd/cri.h"
#include "agent/containerd/introspection.h"
#include "agent/http/client.h"
#include "agent/registry/credential_chain.h"
#include "agent/registry/go_duration.h"
#include "agent/registry/hosts_directory.h"
#include "agent/store/sandbox.h"

namespace prebake::cli {
namespace {

/// How many images are resolved at the same time: resolving mostly waits for round trips.
constexpr std::size_t kParallelResolves = 8;

/// Memory of one download: its buffer, the copy in the message to containerd, and gRPC's buffer.
constexpr std::uint64_t kBytesPerDownload = 4ULL << 20;

/// Of what downloads leave of bake.memory. Six connections that fetch parts of 8 MiB in turn hold
/// 20 MiB of them on average.
constexpr std::uint64_t kMostReadAhead = 32ULL << 20;

std::optional<std::string> environment(const std::string& name) {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
}

/// The lists in the directory. Other files are left out, with a warning: leftovers of editors and
/// package managers, an old list that was renamed to keep it.
std::vector<std::string> configured_lists(const std::filesystem::path& directory) {
    std::vector<std::string> files;
    std::vector<std::string> others;
    std::error_code ignored;  // without the directory there are no lists: the caller reports it
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        if (!entry.is_regular_file()) continue;
        const std::string name = entry.path().filename().string();
        const std::string ending = entry.path().extension().string();
        const bool is_list =
            !name.starts_with('.') && (ending == ".txt" || ending == ".list" || ending == ".toml");
        (is_list ? files : others).push_back(entry.path().string());
    }
    std::sort(files.begin(), files.end());
    std::sort(others.begin(), others.end());
    for (const std::string& file : others) {
        log_warning("not read: " + file +
                    ": the name of an image list ends with .txt, .list or .toml");
    }
    return files;
}

http::ProxySettings proxies(const Config& config) {
    http::ProxySettings settings = http::proxies_of_environment(
        [](const char* name) { return environment(name).value_or(""); });
    if (!config.proxy.empty()) {
        settings.for_http = {.url = config.proxy, .source = "registry.proxy"};
        settings.for_https = settings.for_http;
    }
    if (!config.no_proxy.empty()) settings.no_proxy = joined(config.no_proxy, ",");
    return settings;
}

std::shared_ptr<registry::CredentialSource> credentials_of(const Invocation& invocation) {
    // A core dump would have passwords in it. This does not extend to programs that we run.
    ::prctl(PR_SET_DUMPABLE, 0);
    const Config& config = invocation.config;
    // What the environment says about proxies they have already.
    const bool has_proxy = !config.proxy.empty() || !config.no_proxy.empty();
    const auto variables = has_proxy ? http::variables_of(proxies(config))
                                     : std::vector<std::pair<std::string, std::string>>();
    return registry::all_credentials(
        {.given = invocation.credentials,
         .auth_file = invocation.auth_file,
         .docker_config = config.docker_config,
         .providers = {.config = config.provider_config, .programs = config.provider_programs},
         .program_variables = variables},
        [](const char* name) { return environment(name).value_or(""); }, log_debug);
}

/// As nerdctl and containerd's own CRI search them.
registry::EndpointsOf endpoints(const Config& config) {
    std::vector<std::filesystem::path> roots = config.hosts_directories;
    if (roots.empty()) {
        roots = containerd::read_config_file(config.containerd_config).hosts_directories;
        roots.insert(roots.end(), {"/etc/containerd/certs.d", "/etc/docker/certs.d"});
    }
    return [find = registry::endpoints_below(std::move(roots))](std::string_view name) {
        std::vector<registry::Endpoint> found = find(name);
        for (const registry::Endpoint& endpoint : found) {
            log_debug(std::string(name) + ": " + endpoint.base_url + endpoint.path);
        }
        return found;
    };
}

/// The image verifiers of this containerd, which has them from 2.0 on.
trust::VerifierPrograms verifiers_of(const containerd::Connection& connection,
                                     const std::filesystem::path& config) {
    const std::vector<containerd::Plugin> plugins = containerd::plugins(connection);
    const bool has_plugin =
        std::any_of(plugins.begin(), plugins.end(), [](const containerd::Plugin& plugin) {
            return plugin.type == "io.containerd.image-verifier.v1" && plugin.id == "bindir" &&
                   plugin.init_error.empty();
        });
    if (!has_plugin) return {};
    const containerd::ConfiguredRuntime configured = containerd::read_config_file(config);
    trust::VerifierPrograms verifiers{.directory = "/opt/containerd/image-verifier/bin"};
    if (!configured.verifier_directory.empty()) {
        verifiers.directory = configured.verifier_directory;
    }
    verifiers.most = configured.max_verifiers.value_or(verifiers.most);
    if (const auto limit = registry::parse_go_duration(configured.verifier_time_limit)) {
        verifiers.time_limit = std::chrono::duration_cast<std::chrono::milliseconds>(*limit);
    }
    return verifiers;
}

}  // namespace

std::vector<bake::ImageRequest> read_images(const Config& config, const ImageArguments& arguments) {
    std::vector<bake::ImageRequest> requests;
    for (const std::string& text : arguments.references) {
        requests.push_back({.reference = oci::Reference::parse(text),
                            .platform = {},
                            .namespaces = {},
                            .aliases = {},
                            .origin = "command line"});
    }
    std::vector<std::string> lists = arguments.lists;
    const bool nothing_named = lists.empty() && requests.empty();
    if (nothing_named) lists = configured_lists(config.image_lists);
    const WhoseFile whose = nothing_named ? WhoseFile::ours : WhoseFile::invokers;
    for (const std::string& file : lists) {
        for (bake::ImageRequest& request : read_image_list(file, whose, environment)) {
            requests.push_back(std::move(request));
        }
    }
    if (requests.empty()) {
        throw Error(Errc::usage,
                    "no image named, and no image list in " + config.image_lists.string(),
                    "name images as arguments, a list with -f, or put lists into that directory");
    }
    return requests;
}

BakeContext::BakeContext(const Invocation& invocation, Notice on_notice)
    : policy(policy_of(invocation.config.trust_rules)),
      containerd_config(invocation.config.containerd_config),
      connection(invocation.config.address, invocation.signals.token()),
      credentials(credentials_of(invocation)),
      remote(http::make_client({.connect = invocation.config.connect_timeout,
                                .stall = invocation.config.stall_timeout},
                               "prebake/" PREBAKE_VERSION, proxies(invocation.config)),
             credentials,
             {.retry = {.attempts = static_cast<int>(invocation.config.attempts)},
              .on_retry = on_notice},
             endpoints(invocation.config)),
      on_notice_(std::move(on_notice)) {}

bake::Defaults defaults_of(const Invocation& invocation) {
    bake::Defaults defaults{.namespaces = invocation.config.namespaces,
                            .runtime = invocation.config.runtime,
                            .snapshotter = invocation.config.snapshotter};
    if (!invocation.platform.empty()) {
        defaults.platform = oci::Platform::parse(invocation.platform);
    }
    return defaults;
}

WantedSandbox wanted_sandbox(const Config& config, const containerd::Connection& connection) {
    if (config.sandbox == bake::SandboxRule::never) return {};
    static_cast<void>(connection.version());  // an error of containerd is no doubt about CRI
    const std::string way_out =
        "; list it with your images, or set sandbox = \"never\" in [bake] of prebake.toml";
    try {
        const containerd::Cri cri(connection);
        if (!cri.available()) return {};
        const std::string name = store::sandbox_name(
            cri.sandbox_image(),
            containerd::read_config_file(config.containerd_config).sandbox_image);
        if (!name.empty()) return {.name = name};
        return {.doubt = "it is not known which sandbox image CRI uses: neither CRI nor " +
                         config.containerd_config.string() + " says so" + way_out};
    } catch (const Error& error) {
        if (containerd::ends_session(error)) throw;
        return {.doubt =
                    "it is not known which sandbox image CRI uses: " + error.message() + way_out};
    }
}

bake::Survey BakeContext::survey(const Invocation& invocation,
                                 const std::vector<bake::ImageRequest>& requests,
                                 std::vector<std::string>& warnings) {
    policy.require_keys();
    const bake::Defaults defaults = defaults_of(invocation);
    std::vector<bake::ImageRequest> wanted = bake::with_defaults(requests, defaults);
    WantedSandbox sandbox = bake::any_for_pods(wanted)
                                ? wanted_sandbox(invocation.config, connection)
                                : WantedSandbox();
    if (!sandbox.name.empty()) {
        try {
            wanted = bake::add_sandbox(wanted, sandbox.name, defaults.platform);
        } catch (const Error& error) {  // the listed images do not need that name
            sandbox.doubt = error.what();
        }
    }
    if (!sandbox.doubt.empty()) {
        log_warning(sandbox.doubt);
        warnings.push_back(sandbox.doubt);
    }
    return resolve(invocation, wanted, defaults.snapshotter);
}

/// Asks dockerd where the images for it go.
std::vector<bake::ImageRequest> BakeContext::placed(const Invocation& invocation,
                                                    std::vector<bake::ImageRequest> requests) {
    if (std::ranges::none_of(requests, bake::is_for_docker)) return requests;
    if (!docker_) {
        docker_host_.emplace(invocation, on_notice_);
        docker_.emplace(
            bake::DockerTarget{docker_host_->engine(), docker_host_->info(), *credentials});
    }
    const docker::EngineInfo& info = docker_->info;
    log_debug("dockerd " + info.version + " at " + docker_->engine.socket().string() +
              " keeps images in " +
              (info.uses_containerd_store ? "containerd, snapshotter " : "the graph driver ") +
              info.driver);
    if (!info.uses_containerd_store) return bake::place_in_graph_driver(std::move(requests));
    docker_host_->require_containerd(connection.address());
    for (const bake::ImageRequest& request : requests) {
        if (!request.in_graph_driver) continue;
        throw Error(Errc::failed_precondition,
                    bake::name_of(request) +
                        " was baked into a graph driver of dockerd, which keeps its images in "
                        "containerd now",
                    "bake the list again");
    }
    return requests;
}

bake::Survey BakeContext::resolve(const Invocation& invocation,
                                  const std::vector<bake::ImageRequest>& requests,
                                  const std::string& snapshotter) {
    const std::vector<bake::ImageRequest> merged =
        bake::merge_requests(placed(invocation, requests));
    bake::Survey survey = bake::survey(merged, snapshotter, remote, connection,
                                       {policy, verifiers_of(connection, containerd_config)},
                                       docker(), kParallelResolves);
    log_debug("containerd " + survey.containerd_version + " at " + connection.address());
    for (const auto& [ns, chosen] : survey.snapshotters) {
        log_debug("namespace " + ns + " unpacks into " + chosen);
    }
    return survey;
}

bake::BakeOptions bake_options(const Invocation& invocation) {
    const Config& config = invocation.config;
    const auto downloads =
        std::clamp<std::uint64_t>(config.memory / kBytesPerDownload, 1, config.parallel_downloads);
    const std::uint64_t left =
        config.memory - std::min(config.memory, downloads * kBytesPerDownload);
    return {.state_dir = invocation.state_dir,
            .parallel_images = config.parallel_images,
            .parallel_downloads = downloads,
            .read_ahead_bytes = std::min(left, kMostReadAhead),
            .parallel_unpacks = config.parallel_unpacks > 0
                                    ? config.parallel_unpacks
                                    : std::max(1U, std::thread::hardware_concurrency()),
            .prebake_version = PREBAKE_VERSION};
}

}  // namespace prebake::cli
