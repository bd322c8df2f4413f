#include "agent/bake/engine_baker.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "agent/bake/docker_archive.h"
#include "agent/base/error.h"
#include "agent/base/wait.h"
#include "agent/store/engine_check.h"
#include "agent/store/stored_image.h"

namespace prebake::bake {
namespace {

/// `reference` by the digest of the image, without a tag.
oci::Reference by_digest(const oci::Reference& reference, const ResolvedImage& image) {
    oci::Reference named = reference;
    named.tag.reset();
    named.tag_was_implied = false;
    named.digest = image.target.digest;
    return named;
}

/// What store::look_up() compares.
v1::BakedImage recorded(const ResolvedImage& image) {
    v1::BakedImage contents = store::contents_of(image);
    contents.set_platform(image.request.platform->str());
    return contents;
}

void add_once(std::vector<std::string>& names, std::string name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(std::move(name));
    }
}

/// dockerd's word for Docker Hub.
constexpr const char* kHubServer = "https://index.docker.io/v1/";

/// Whether an archive may do what a pull did not.
bool may_load_instead(Errc code) {
    return code != Errc::cancelled && code != Errc::no_space && code != Errc::usage;
}

}  // namespace

/// Turns what dockerd shows of a pull into events of the bake, and counts the bytes.
class EngineBaker::Progress {
  public:
    Progress(const ResolvedImage& image, EventSink& events) : image_(image), events_(events) {}

    void operator()(const docker::PullProgress& progress) {
        const oci::Descriptor* layer = find(progress.layer);
        if (layer == nullptr) return;
        const std::string digest = layer->digest.str();
        const auto tell = [&](EventKind kind, std::uint64_t current, std::uint64_t received) {
            events_.on_event({.kind = kind,
                              .image = image_.name(),
                              .layer = digest,
                              .current = current,
                              .total = layer->size,
                              .received = received});
        };
        if (progress.status == "Downloading") {
            std::uint64_t& known = fetched_[digest];
            const std::uint64_t current = std::min(progress.current, layer->size);
            known = std::max(known, current);
            tell(EventKind::fetching, known, known);
        } else if (progress.status == "Download complete" || progress.status == "Extracting" ||
                   progress.status == "Pull complete") {
            // A small layer arrives before dockerd shows any of its bytes.
            if (!complete_.insert(digest).second) return;
            fetched_[digest] = layer->size;
            tell(EventKind::fetched, layer->size, layer->size);
        } else if (progress.status == "Already exists") {
            tell(EventKind::fetched, 0, 0);
        }
    }

    std::uint64_t bytes() const {
        std::uint64_t sum = 0;
        for (const auto& [layer, bytes] : fetched_) sum += bytes;
        return sum;
    }

  private:
    /// dockerd shows the first digits of a layer's digest.
    const oci::Descriptor* find(const std::string& short_id) const {
        if (short_id.empty()) return nullptr;
        for (const oci::Descriptor& layer : image_.contents.layers) {
            if (layer.digest.hex().starts_with(short_id)) return &layer;
        }
        return nullptr;
    }

    const ResolvedImage& image_;
    EventSink& events_;
    std::map<std::string, std::uint64_t> fetched_;
    std::set<std::string> complete_;
};

std::vector<std::string> engine_names(const ResolvedImage& image) {
    std::vector<std::string> names;
    for (const oci::Reference& reference : image.request.references()) {
        if (const auto tag_name = reference.tag_name()) add_once(names, *tag_name);
        add_once(names, by_digest(reference, image).str());
    }
    return names;
}

bool is_in_engine(const ResolvedImage& image, docker::Engine& engine) {
    const v1::BakedImage wanted = recorded(image);
    const std::vector<std::string> names = engine_names(image);
    return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
        return !store::look_up(name, wanted, engine).problem;
    });
}

EngineBaker::EngineBaker(const DockerTarget& docker, LayerSource& layers, EventSink& events,
                         std::stop_token stop)
    : docker_(docker), layers_(layers), events_(events), stop_(std::move(stop)) {}

void EngineBaker::bake(const ResolvedImage& image, ImageChanges& changes) {
    if (!image.request.in_graph_driver) return;
    for (const oci::Reference& reference : image.request.references()) {
        throw_if_stopped(stop_);
        in_context("dockerd", [&] { bake_reference(image, reference, changes); });
    }
}

void EngineBaker::bake_reference(const ResolvedImage& image, const oci::Reference& reference,
                                 ImageChanges& changes) {
    const v1::BakedImage wanted = recorded(image);
    const std::string digest = by_digest(reference, image).str();
    const std::optional<std::string> tag = reference.tag_name();
    const auto lacks = [&](const std::string& name) {
        return store::look_up(name, wanted, docker_.engine).problem.has_value();
    };
    // What is wrong with dockerd's image is found before it gets its tag.
    const auto require = [&](const std::string& name, const char* done, const char* next_step) {
        const store::NameInEngine state = store::look_up(name, wanted, docker_.engine);
        if (!state.problem) return;
        throw Error(Errc::corrupt,
                    std::string("dockerd ") + done + " another image as " + name + ": expected " +
                        state.expected + ", found " + state.found,
                    next_step);
    };
    constexpr const char* kOtherMirror =
        "look for a registry mirror of dockerd that serves something else (docker info), then bake "
        "again";
    if (lacks(digest)) {
        try {
            pull(image, reference, changes);
        } catch (const Error& error) {
            if (!tag || !may_load_instead(error.code())) throw;
            // An earlier bake may have loaded it.
            if (lacks(*tag)) {
                load(image, reference, error, changes);
                require(*tag, "loaded", "bake again; if it happens again, look into dockerd's log");
            }
            return add_once(changes.engine_names, *tag);
        }
        require(digest, "pulled", kOtherMirror);
    }
    if (tag) {
        if (lacks(*tag)) {
            docker_.engine.tag(digest, reference);
            changes.changed = true;
            require(*tag, "pulled", kOtherMirror);
        }
        add_once(changes.engine_names, *tag);
    }
    add_once(changes.engine_names, digest);
}

void EngineBaker::pull(const ResolvedImage& image, const oci::Reference& reference,
                       ImageChanges& changes) {
    const oci::Reference digest = by_digest(reference, image);
    Progress progress(image, events_);
    changes.changed = true;
    const auto count = [&] { changes.bytes_fetched += progress.bytes(); };
    try {
        docker_.engine.pull(
            {.reference = digest, .platform = *image.request.platform, .login = login_for(digest)},
            [&](const docker::PullProgress& event) { progress(event); });
    } catch (const Error&) {
        count();
        throw;
    }
    count();
}

void EngineBaker::load(const ResolvedImage& image, const oci::Reference& reference,
                       const Error& cause, ImageChanges& changes) {
    notice(events_, image.name(),
           "dockerd cannot pull it (" + cause.message() +
               "); it loads what prebake fetches instead: containers that name its digest will "
               "pull it again");
    DockerArchive archive(image, {*reference.tag_name()}, [&](const oci::Descriptor& layer) {
        return layers_.open(reference, layer, 0, stop_);
    });
    docker_.engine.load(archive, archive.size());
    changes.changed = true;
    for (const oci::Descriptor& layer : image.contents.layers) changes.bytes_fetched += layer.size;
}

std::optional<docker::RegistryLogin> EngineBaker::login_for(const oci::Reference& reference) {
    const auto found = docker_.credentials.find(
        {.registry = reference.registry, .path = reference.repository}, stop_);
    if (!found || (found->username.empty() && found->identity_token.empty())) return std::nullopt;
    return docker::RegistryLogin{
        .server = reference.registry == "docker.io" ? kHubServer : reference.registry,
        .username = found->username,
        .password = found->password,
        .identity_token = found->identity_token};
}

}  // namespace prebake::bake
