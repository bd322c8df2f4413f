#include "agent/bake/engine_baker.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>

#include "agent/base/error.h"
#include "tests/unit/bake/test_image.h"
#include "tests/unit/base/bytes_source.h"
#include "tests/unit/docker/fake_engine.h"

namespace prebake::bake::engine_baker_test {

class Secrets final : public registry::CredentialSource {
  public:
    std::optional<registry::Credentials> find(const registry::Repository& repository,
                                              const std::stop_token&) override {
        asked.push_back(repository.name());
        return credentials;
    }
    std::optional<registry::Credentials> credentials = {};
    std::vector<std::string> asked = {};
};

class Layers final : public LayerSource {
  public:
    std::unique_ptr<Source> open(const oci::Reference&, const oci::Descriptor& layer, std::uint64_t,
                                 const std::stop_token&) override {
        return std::make_unique<tests::BytesSource>(layer.digest == oci::Digest::of("one") ? "one"
                                                                                           : "two");
    }
};

class Log final : public EventSink {
  public:
    void on_event(const Event& event) override { events.push_back(event); }
    std::vector<Event> events;
};

/// An image of two layers, a dockerd that can pull it, and the baker.
struct Host {
    explicit Host(const std::string& name = "reg.example/app:1") : image(image_of(name)) {
        docker::EngineImage held{.id = image.config.descriptor.digest.str(),
                                 .repo_tags = {},
                                 .repo_digests = {},
                                 .platform = *image.request.platform,
                                 .layers = {}};
        for (const oci::Digest& diff_id : image.diff_ids) held.layers.push_back(diff_id.str());
        whole = held;
        for (const oci::Reference& reference : image.request.references()) {
            engine.registry[reference.name() + "@" + image.target.digest.str()] = held;
        }
    }
    static ResolvedImage image_of(const std::string& name) {
        ResolvedImage image = test::image_of(name, {"one", "two"}, {});
        image.request.in_graph_driver = true;
        image.request.aliases = {oci::Reference::parse("mirror.example/app:stable")};
        return image;
    }
    ImageChanges bake() {
        const DockerTarget target{.engine = engine, .info = {}, .credentials = secrets};
        EngineBaker baker(target, layers, log, {});
        ImageChanges changes;
        baker.bake(image, changes);
        return changes;
    }
    std::string by_digest(const std::string& repository) const {
        return repository + "@" + image.target.digest.str();
    }

    ResolvedImage image;
    docker::EngineImage whole;
    docker::FakeEngine engine;
    Secrets secrets;
    Layers layers;
    Log log;
};

TEST_CASE("each reference is pulled by its digest, then tagged") {
    Host host;
    const ImageChanges changes = host.bake();
    CHECK(changes.changed);
    REQUIRE(host.engine.pulls.size() == 2);
    CHECK(host.engine.pulls[0].reference.str() == host.by_digest("reg.example/app"));
    CHECK(host.engine.pulls[1].reference.str() == host.by_digest("mirror.example/app"));
    CHECK(host.engine.tags ==
          std::vector<std::pair<std::string, std::string>>{
              {host.by_digest("reg.example/app"), "reg.example/app:1"},
              {host.by_digest("mirror.example/app"), "mirror.example/app:stable"}});
    CHECK(changes.engine_names == std::vector<std::string>{"reg.example/app:1",
                                                           host.by_digest("reg.example/app"),
                                                           "mirror.example/app:stable",
                                                           host.by_digest("mirror.example/app")});
    CHECK(is_in_engine(host.image, host.engine));
}

TEST_CASE("what dockerd has is left alone") {
    Host host;
    host.bake();
    host.engine.pulls.clear();
    host.engine.tags.clear();
    CHECK_FALSE(host.bake().changed);
    CHECK(host.engine.pulls.empty());
    CHECK(host.engine.tags.empty());
}

TEST_CASE("an image for containerd alone is none of dockerd's business") {
    Host host;
    host.image.request.in_graph_driver = false;
    CHECK_FALSE(host.bake().changed);
    CHECK(host.engine.pulls.empty());
}

TEST_CASE("credentials come from the sources of every bake") {
    Host host("docker.io/library/app:1");
    host.secrets.credentials = registry::Credentials{.username = "user",
                                                     .password = "secret",
                                                     .identity_token = {},
                                                     .registry_token = {},
                                                     .note = {}};
    host.bake();
    REQUIRE(host.engine.pulls[0].login);
    CHECK(host.engine.pulls[0].login->server == "https://index.docker.io/v1/");
    CHECK(host.engine.pulls[0].login->username == "user");
    CHECK(host.engine.pulls[0].login->password == "secret");
    REQUIRE(host.engine.pulls[1].login);
    CHECK(host.engine.pulls[1].login->server == "mirror.example");
    CHECK(host.secrets.asked ==
          std::vector<std::string>{"docker.io/library/app", "mirror.example/app"});
}

TEST_CASE("a dockerd that pulls something else is named") {
    Host host;
    host.engine.registry[host.by_digest("reg.example/app")].layers[1] = "sha256:other";
    try {
        host.bake();
        FAIL("baked");
    } catch (const Error& error) {
        CHECK(error.code() == Errc::corrupt);
        CHECK(std::string(error.what()).find("sha256:other") != std::string::npos);
    }
}

TEST_CASE("a dockerd that cannot pull loads what is fetched for it") {
    Host host;
    host.image.request.aliases.clear();
    host.engine.pull_error = Error(Errc::unavailable, "connection refused");
    host.engine.images_of_load["reg.example/app:1"] = host.whole;
    const ImageChanges changes = host.bake();
    CHECK(host.engine.loaded.find("\"RepoTags\":[\"reg.example/app:1\"]") != std::string::npos);
    CHECK(changes.engine_names == std::vector<std::string>{"reg.example/app:1"});
    CHECK(changes.bytes_fetched == 6);
    const bool is_told = std::ranges::any_of(host.log.events, [](const Event& event) {
        return event.kind == EventKind::notice &&
               event.message.find("connection refused") != std::string::npos;
    });
    CHECK(is_told);
    // The next bake tries to pull, and does not load it again.
    host.engine.loaded.clear();
    CHECK(host.bake().engine_names == std::vector<std::string>{"reg.example/app:1"});
    CHECK(host.engine.loaded.empty());
}

TEST_CASE("a full disk, a stop and an image without a tag are not loaded") {
    for (const Errc code : {Errc::no_space, Errc::cancelled}) {
        Host host;
        host.engine.pull_error = Error(code, "no");
        CHECK_THROWS_AS(host.bake(), Error);
        CHECK(host.engine.loaded.empty());
    }
    Host host("reg.example/app@sha256:" + std::string(64, 'a'));
    host.image.request.aliases.clear();
    host.engine.pull_error = Error(Errc::unavailable, "no");
    CHECK_THROWS_AS(host.bake(), Error);
    CHECK(host.engine.loaded.empty());
}

TEST_CASE("progress of dockerd becomes that of the bake") {
    Host host;
    host.image.request.aliases.clear();
    const std::string short_id = host.image.contents.layers[0].digest.hex().substr(0, 12);
    host.engine.progress = {{.layer = short_id, .status = "Downloading", .current = 2, .total = 3},
                            {.layer = short_id, .status = "Download complete"},
                            {.layer = short_id, .status = "Extracting", .current = 1, .total = 3},
                            {.layer = "unknown", .status = "Downloading", .current = 9}};
    CHECK(host.bake().bytes_fetched == 3);
    std::vector<EventKind> kinds;
    for (const Event& event : host.log.events) kinds.push_back(event.kind);
    CHECK(kinds == std::vector{EventKind::fetching, EventKind::fetched});
    CHECK(host.log.events[0].layer == host.image.contents.layers[0].digest.str());
    CHECK(host.log.events[0].current == 2);
}

}  // namespace prebake::bake::engine_baker_test
