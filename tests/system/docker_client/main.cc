// docker_client SOCKET CALL [ARGUMENT]...: one call of the Engine client. Prints a line of JSON for
// each thing that it gets, and {"error": CODE, "message": ...} with exit status 1.
//
//   info | containers | inspect NAME | tag NAME REFERENCE | load FILE | events SECONDS-SINCE-1970
//   pull REFERENCE PLATFORM   with the login of PULL_USER and PULL_PASSWORD, if they are set
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/stream.h"
#include "agent/docker/engine.h"
#include "agent/http/client.h"

namespace {

namespace json = boost::json;
namespace docker = prebake::docker;
using prebake::oci::Platform;
using prebake::oci::Reference;
using std::chrono::system_clock;

class FileSource : public prebake::Source {
  public:
    explicit FileSource(const std::string& path) : file_(path, std::ios::binary) {}
    std::size_t read(std::span<std::byte> buffer) override {
        file_.read(reinterpret_cast<char*>(buffer.data()),
                   static_cast<std::streamsize>(buffer.size()));
        return static_cast<std::size_t>(file_.gcount());
    }

  private:
    std::ifstream file_;
};

void print(const json::value& value) {
    std::puts(json::serialize(value).c_str());
    std::fflush(stdout);
}

json::array list(const std::vector<std::string>& texts) {
    json::array array;
    for (const std::string& text : texts) array.emplace_back(text);
    return array;
}

double seconds(system_clock::time_point at) {
    return std::chrono::duration<double>(at.time_since_epoch()).count();
}

json::object described(const docker::EngineInfo& info) {
    return {{"version", info.version},
            {"api", info.api_version},
            {"id", info.id},
            {"platform", info.platform.str()},
            {"driver", info.driver},
            {"containerd_store", info.uses_containerd_store},
            {"data_root", info.data_root.string()},
            {"containerd", info.containerd_address},
            {"namespace", info.containerd_namespace},
            {"userns", info.has_user_namespaces},
            {"rootless", info.is_rootless}};
}

json::object described(const docker::EngineImage& image) {
    return {{"id", image.id},
            {"tags", list(image.repo_tags)},
            {"digests", list(image.repo_digests)},
            {"platform", image.platform.str()},
            {"layers", list(image.layers)},
            {"bytes", image.bytes}};
}

json::object described(const docker::EngineContainer& container) {
    return {{"id", container.id},
            {"image", container.image},
            {"image_id", container.image_id},
            {"started", container.has_started},
            {"created", seconds(container.created_at)}};
}

json::object described(const docker::EngineEvent& event) {
    return {{"type", event.type},
            {"action", event.action},
            {"id", event.id},
            {"image", event.image},
            {"at", seconds(event.at)}};
}

void pull(docker::Engine& engine, const Reference& reference, const Platform& platform) {
    docker::PullRequest request{.reference = reference, .platform = platform};
    if (const char* const user = std::getenv("PULL_USER")) {
        request.login = docker::RegistryLogin{.server = reference.registry,
                                              .username = user,
                                              .password = std::getenv("PULL_PASSWORD")};
    }
    engine.pull(request, [](const docker::PullProgress& progress) {
        print(json::object{{"layer", progress.layer},
                           {"status", progress.status},
                           {"current", progress.current},
                           {"total", progress.total}});
    });
}

void call(docker::Engine& engine, const std::string& name,
          const std::vector<std::string>& arguments) {
    if (name == "info") {
        print(described(engine.info()));
    } else if (name == "inspect") {
        const auto image = engine.inspect(arguments.at(0));
        print(image ? json::value(described(*image)) : json::value());
    } else if (name == "pull") {
        pull(engine, Reference::parse(arguments.at(0)), Platform::parse(arguments.at(1)));
    } else if (name == "tag") {
        engine.tag(arguments.at(0), Reference::parse(arguments.at(1)));
    } else if (name == "load") {
        FileSource archive(arguments.at(0));
        engine.load(archive, std::filesystem::file_size(arguments.at(0)));
    } else if (name == "containers") {
        for (const auto& each : engine.containers()) print(described(each));
    } else if (name == "events") {
        const system_clock::time_point since(std::chrono::seconds(std::stoll(arguments.at(0))));
        engine.follow_events(
            since,
            [] {
                print(json::object{{"subscribed", true}});
            },
            [](const docker::EngineEvent& event) { print(described(event)); });
    } else {
        throw prebake::Error(prebake::Errc::usage, "no call " + name);
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const std::vector<std::string> arguments(argv + 1, argv + argc);
        const auto client = prebake::http::make_client({}, "prebake/test");
        const auto engine = docker::connect(*client, arguments.at(0), {});
        call(*engine, arguments.at(1), {arguments.begin() + 2, arguments.end()});
    } catch (const prebake::Error& error) {
        print(json::object{{"error", std::string(to_string(error.code()))},
                           {"message", error.what()}});
        return 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "docker_client: %s\n", error.what());
        return 2;
    }
    return 0;
}
