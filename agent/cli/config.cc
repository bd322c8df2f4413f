#include "agent/cli/config.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/toml.h"
#include "agent/cli/quantity.h"
#include "agent/cli/trust_rules.h"
#include "agent/containerd/connection.h"
#include "agent/http/proxy.h"
#include "agent/report/conditions.h"
#include "agent/report/listen_address.h"

namespace prebake::cli {
namespace {

constexpr std::size_t kMaxConfigFileBytes = 1UL << 20;
constexpr std::string_view kTrustTables = "trust";

/// A value of a key, passed to the reader of that key.
struct Value {
    const toml::node& node;
    std::string key;

    std::string text(std::string_view example = "\"text\"") const {
        return string_value(node, key, example);
    }
    std::vector<std::string> texts(std::string_view example = "[\"one\", \"two\"]") const {
        return strings_value(node, key, example);
    }
    std::vector<std::filesystem::path> paths() const {
        const std::vector<std::string> names = texts("[\"/etc/containerd/certs.d\"]");
        return {names.begin(), names.end()};
    }
    std::vector<std::string> namespaces() const {
        constexpr std::string_view kExample = "[\"k8s.io\"]";
        std::vector<std::string> names = texts(kExample);
        if (names.empty()) throw wrong_type(key, "a list of at least one namespace", kExample);
        for (const std::string& name : names) containerd::validate_namespace(name);
        return names;
    }
    std::uint64_t count() const {
        const auto* number = node.as_integer();
        if (number != nullptr && number->get() >= 1 && number->get() <= 1000) {
            return static_cast<std::uint64_t>(number->get());
        }
        throw wrong_type(key, "a number from 1 to 1000, without quotes", "5");
    }
    std::uint64_t count_or_zero() const { return plain_number() == 0 ? 0 : count(); }
    /// An integer that is not negative.
    std::optional<std::uint64_t> plain_number() const {
        const auto* number = node.as_integer();
        if (number == nullptr || number->get() < 0) return std::nullopt;
        return static_cast<std::uint64_t>(number->get());
    }
    std::uint64_t bytes() const {
        constexpr std::string_view kExample = "\"64MiB\"";
        if (!node.is_string()) throw wrong_type(key, "a size", kExample);
        return in_context(key, [&] { return parse_bytes(text()); });
    }
    bool truth() const { return bool_value(node, key); }
    /// "15%" as 0.15.
    double ratio() const {
        const std::string percent = text();
        double number = 0;
        const char* end = percent.data() + percent.size() - 1;
        const auto [rest, problem] = std::from_chars(percent.data(), end, number);
        if (problem == std::errc() && rest == end && number >= 0 && number < 100) {
            return number / 100;
        }
        throw wrong_type(key, "a size (\"20GiB\") or a percentage of the disk", "\"15%\"");
    }
    std::string proxy() const {
        std::string url = text("\"http://proxy.example:3128\"");
        if (!url.empty()) http::parse_proxy({.url = url, .source = "registry.proxy"});
        return url;
    }
    std::vector<std::string> addresses() const {
        std::vector<std::string> addresses = texts("[\"localhost:9813\"]");
        for (const std::string& address : addresses) report::parse_listen(address);
        return addresses;
    }
    std::vector<std::string> condition_types() const {
        const auto& known = report::condition_types();
        std::vector<std::string> types = texts("[\"ImagesPresent\", \"IdentityClaimed\"]");
        for (const std::string& type : types) {
            if (std::find(known.begin(), known.end(), type) != known.end()) continue;
            throw unknown_word(key, "condition", type, {known.begin(), known.end()});
        }
        return types;
    }
    /// One of a few words. @throws Error usage that lists them.
    template <typename Meaning>
    Meaning one_of(const std::map<std::string, Meaning>& words) const {
        const auto* word = node.as_string();
        const auto found = word == nullptr ? words.end() : words.find(word->get());
        if (found != words.end()) return found->second;
        std::string all;
        for (const auto& [known, unused] : words) all += (all.empty() ? "" : " or ") + known;
        throw wrong_type(key, all, "\"" + words.begin()->first + "\"");
    }
    /// Reads in flight: what a disk of today can use.
    std::uint64_t depth() const {
        constexpr std::uint64_t kMostReads = 128;
        const std::optional<std::uint64_t> number = plain_number();
        if (number && *number >= 1 && *number <= kMostReads) return *number;
        throw wrong_type(key, "a number from 1 to 128, without quotes", "64");
    }
    std::chrono::milliseconds duration() const {
        // A plain number is in seconds.
        if (const auto plain = plain_number()) {
            return in_context(key, [&] { return parse_duration(std::to_string(*plain)); });
        }
        if (!node.is_string())
            throw wrong_type(key, "a duration, or a number of seconds", "\"5m\"");
        return in_context(key, [&] { return parse_duration(text()); });
    }
    std::chrono::milliseconds deadline() const {
        const std::chrono::milliseconds limit = duration();
        if (limit <= kLongestDeadline) return limit;
        throw wrong_type(key, "at most 24h", "\"5m\"");
    }
};

identity::WhenSealing runtime_of(bool is_stopped) {
    return is_stopped ? identity::WhenSealing::stop : identity::WhenSealing::keep_running;
}

using Reader = std::function<void(Config&, const Value&)>;
using Table = std::map<std::string, Reader>;

Table docker_keys() {
    return {
        {"host", [](Config& config, const Value& value) { config.docker_host = value.text(); }},
        {"start", [](Config& config, const Value& value) { config.start_docker = value.truth(); }}};
}

Table bake_keys() {
    return {{"runtime", [](Config& config,
                           const Value& value) { config.runtime = value.one_of(runtime_words()); }},
            {"image_lists",
             [](Config& config, const Value& value) { config.image_lists = value.text(); }},
            {"traces", [](Config& config, const Value& value) { config.traces = value.text(); }},
            {"sandbox",
             [](Config& config, const Value& value) {
                 using Rule = bake::SandboxRule;
                 config.sandbox =
                     value.one_of<Rule>({{"auto", Rule::automatic}, {"never", Rule::never}});
             }},
            {"memory", [](Config& config, const Value& value) { config.memory = value.bytes(); }},
            {"parallel_images",
             [](Config& config, const Value& value) { config.parallel_images = value.count(); }},
            {"parallel_downloads",
             [](Config& config, const Value& value) { config.parallel_downloads = value.count(); }},
            {"parallel_unpacks",
             [](Config& config, const Value& value) {
                 config.parallel_unpacks = value.count_or_zero();
             }},
            {"lock_timeout",
             [](Config& config, const Value& value) { config.lock_timeout = value.duration(); }}};
}

Table hydrate_keys() {
    return {
        {"mode",
         [](Config& config, const Value& value) {
             using Mode = hydrate::HydrateMode;
             config.hydrate_mode = value.one_of<Mode>(
                 {{"auto", Mode::automatic}, {"on", Mode::on}, {"off", Mode::off}});
         }},
        {"rate", [](Config& config, const Value& value) { config.hydrate_rate = value.bytes(); }},
        {"depth", [](Config& config, const Value& value) { config.hydrate_depth = value.depth(); }},
        {"deadline",
         [](Config& config, const Value& value) { config.hydrate_deadline = value.deadline(); }}};
}

/// All tables and keys.
const std::map<std::string, Table>& schema() {
    static const std::map<std::string, Table> kSchema{
        {"containerd",
         {{"address", [](Config& config, const Value& value) { config.address = value.text(); }},
          {"namespaces",
           [](Config& config, const Value& value) { config.namespaces = value.namespaces(); }},
          {"snapshotter",
           [](Config& config, const Value& value) { config.snapshotter = value.text(); }},
          {"config",
           [](Config& config, const Value& value) { config.containerd_config = value.text(); }}}},
        {"docker", docker_keys()},
        {"bake", bake_keys()},
        {"registry",
         {{"docker_config",
           [](Config& config, const Value& value) { config.docker_config = value.text(); }},
          {"hosts_dirs",
           [](Config& config, const Value& value) { config.hosts_directories = value.paths(); }},
          {"image_credential_provider_config",
           [](Config& config, const Value& value) { config.provider_config = value.text(); }},
          {"image_credential_provider_bin_dir",
           [](Config& config, const Value& value) { config.provider_programs = value.text(); }},
          {"connect_timeout",
           [](Config& config, const Value& value) { config.connect_timeout = value.duration(); }},
          {"stall_timeout",
           [](Config& config, const Value& value) { config.stall_timeout = value.duration(); }},
          {"attempts", [](Config& config, const Value& value) { config.attempts = value.count(); }},
          {"proxy", [](Config& config, const Value& value) { config.proxy = value.proxy(); }},
          {"no_proxy",
           [](Config& config, const Value& value) { config.no_proxy = value.texts(); }}}},
        {"seal",
         {{"skip", [](Config& config, const Value& value) { config.seal.skip = value.texts(); }},
          {"also", [](Config& config, const Value& value) { config.seal.also = value.texts(); }},
          {"remove",
           [](Config& config, const Value& value) { config.seal.remove = value.texts(); }},
          {"keep", [](Config& config, const Value& value) { config.seal.keep = value.texts(); }},
          {"machine_id",
           [](Config& config, const Value& value) {
               using Form = identity::MachineIdFormat;
               config.seal.settings.machine_id = value.one_of<Form>(
                   {{"empty", Form::empty}, {"uninitialized", Form::uninitialized}});
           }},
          {"stop_containerd",
           [](Config& config, const Value& value) {
               config.services.containerd = runtime_of(value.truth());
           }},
          {"stop_docker",
           [](Config& config, const Value& value) {
               config.services.docker = runtime_of(value.truth());
           }},
          {"scan_also",
           [](Config& config, const Value& value) { config.search.also = value.texts(); }},
          {"scan_skip",
           [](Config& config, const Value& value) { config.search.skip = value.texts(); }},
          {"scan_time",
           [](Config& config, const Value& value) { config.scan.time = value.duration(); }},
          {"scan_bytes",
           [](Config& config, const Value& value) { config.scan.bytes = value.bytes(); }},
          {"scan_file_bytes",
           [](Config& config, const Value& value) { config.scan.file_bytes = value.bytes(); }}}},
        {"firstboot",
         {{"hostname",
           [](Config& config, const Value& value) { config.first_boot.hostname = value.text(); }},
          {"hosts",
           [](Config& config, const Value& value) { config.first_boot.hosts = value.text(); }},
          {"metadata_timeout",
           [](Config& config, const Value& value) {
               config.first_boot.metadata.total = value.duration();
           }},
          {"drop_in_timeout",
           [](Config& config, const Value& value) {
               config.first_boot.drop_in_limit = value.duration();
           }},
          {"tls_key",
           [](Config& config, const Value& value) {
               config.first_boot.certificate.key_file = value.text();
           }},
          {"tls_certificate",
           [](Config& config, const Value& value) {
               config.first_boot.certificate.certificate_file = value.text();
           }},
          {"tls_form",
           [](Config& config, const Value& value) {
               using Form = identity::firstboot::CertificateKind;
               config.first_boot.certificate.kind = value.one_of<Form>(
                   {{"self-signed", Form::self_signed}, {"request", Form::request}});
           }},
          {"tls_common_name",
           [](Config& config, const Value& value) {
               config.first_boot.certificate.common_name = value.text();
           }},
          {"tls_names",
           [](Config& config, const Value& value) {
               config.first_boot.certificate.names = value.texts();
           }},
          {"tls_valid_for",
           [](Config& config, const Value& value) {
               config.first_boot.certificate.valid_for =
                   std::chrono::duration_cast<std::chrono::hours>(value.duration());
           }}}},
        {"guard",
         {{"keep_deleted",
           [](Config& config, const Value& value) { config.keep_deleted = value.truth(); }},
          {"max_pinned_bytes",
           [](Config& config, const Value& value) {
               config.pin_limits.max_pinned_bytes = value.bytes();
           }},
          {"min_free",
           [](Config& config, const Value& value) {
               config.pin_limits.min_free_bytes = 0;
               config.pin_limits.min_free_ratio = 0;
               const auto* text = value.node.as_string();
               if (text != nullptr && text->get().ends_with('%')) {
                   config.pin_limits.min_free_ratio = value.ratio();
               } else {
                   config.pin_limits.min_free_bytes = value.bytes();
               }
           }}}},
        {"hydrate", hydrate_keys()},
        {"readiness",
         {{"gates",
           [](Config& config, const Value& value) { config.gates = value.condition_types(); }},
          {"deadline",
           [](Config& config, const Value& value) { config.deadline = value.deadline(); }}}},
        {"report",
         {{"socket",
           [](Config& config, const Value& value) { config.endpoint.socket = value.text(); }},
          {"socket_group",
           [](Config& config, const Value& value) { config.endpoint.socket_group = value.text(); }},
          {"listen",
           [](Config& config, const Value& value) { config.endpoint.listen = value.addresses(); }},
          {"tcp",
           [](Config& config, const Value& value) {
               using Access = report::TcpAccess;
               config.endpoint.tcp = value.one_of<Access>({{"full", Access::full},
                                                           {"readiness", Access::readiness},
                                                           {"off", Access::off}});
           }},
          {"ssm_inventory",
           [](Config& config, const Value& value) { config.ssm_inventory = value.truth(); }}}}};
    return kSchema;
}

template <typename Map>
std::vector<std::string> keys_of(const Map& map) {
    std::vector<std::string> keys;
    keys.reserve(map.size());
    for (const auto& [key, unused] : map) keys.push_back(key);
    return keys;
}

/// The names of all tables.
std::vector<std::string> tables() {
    std::vector<std::string> names = keys_of(schema());
    names.emplace_back(kTrustTables);
    return names;
}

void read_into(Config& config, const std::filesystem::path& path, WhoseFile whose) {
    const std::string file = path.string();
    const toml::table root = parse_toml(read_trusted_file(path, kMaxConfigFileBytes, whose), file);
    for (const auto& [table_name, node] : root) {
        if (table_name.str() == kTrustTables) {
            for (trust::Rule& rule : read_trust_rules(node, path)) {
                config.trust_rules.push_back(std::move(rule));
            }
            continue;
        }
        const auto table = schema().find(std::string(table_name.str()));
        if (table == schema().end()) {
            throw unknown_key(place_of(node, file), table_name.str(), tables());
        }
        const toml::table* values = node.as_table();
        if (values == nullptr) {
            throw Error(
                Errc::usage,
                place_of(node, file) + ": " + std::string(table_name.str()) + " must be a table",
                "write [" + std::string(table_name.str()) + "] and its keys below");
        }
        for (const auto& [key, value] : *values) {
            const auto reader = table->second.find(std::string(key.str()));
            if (reader == table->second.end()) {
                throw unknown_key(place_of(value, file), key.str(), keys_of(table->second));
            }
            const Value read{value, std::string(key.str())};
            in_context(place_of(value, file), [&] { reader->second(config, read); });
        }
    }
}

std::vector<std::filesystem::path> drop_ins(const std::filesystem::path& directory) {
    std::vector<std::filesystem::path> files;
    std::error_code ignored;  // no directory, no drop-ins
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        if (entry.path().extension() == ".toml") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
}

/// Reads the files in order; later files override earlier ones.
Config read_files(const std::optional<std::filesystem::path>& file, WhoseFile whose) {
    Config config;
    for (const std::filesystem::path& each : config_files(file))
        read_into(config, each, file ? whose : WhoseFile::ours);
    return config;
}

}  // namespace

const std::map<std::string, bake::Runtime>& runtime_words() {
    using bake::Runtime;
    static const std::map<std::string, Runtime> words{{"auto", Runtime::automatic},
                                                      {"containerd", Runtime::containerd},
                                                      {"docker", Runtime::docker}};
    return words;
}

std::vector<std::string> config_keys() {
    std::vector<std::string> names;
    for (const auto& [table, keys] : schema()) {
        for (const auto& [key, unused] : keys) names.push_back(table + "." + key);
    }
    return names;
}

std::vector<std::filesystem::path> config_files(const std::optional<std::filesystem::path>& file) {
    if (file) return {*file};
    const std::filesystem::path usual = kDefaultConfigFile;
    std::vector<std::filesystem::path> files = drop_ins(usual.parent_path() / "conf.d");
    if (std::filesystem::exists(usual)) files.insert(files.begin(), usual);
    return files;
}

Config read_config(const std::optional<std::filesystem::path>& file, WhoseFile whose) {
    try {
        Config config = read_files(file, whose);
        // A host's own key and certificate must not become part of an image.
        const identity::firstboot::HostCertificateOptions& host = config.first_boot.certificate;
        for (const std::string& path : {host.key_file, host.certificate_file}) {
            if (!path.empty()) config.seal.remove.push_back(path);
        }
        return config;
    } catch (const Error& error) {
        // All problems of a configuration file are usage errors: its author can fix them.
        throw Error(Errc::usage, "configuration: " + error.message(), error.next_step());
    }
}

}  // namespace prebake::cli
