#include "agent/kubelet/advice.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "tests/unit/temporary_directory.h"

namespace prebake::kubelet {
namespace {

namespace fs = std::filesystem;
using Texts = std::vector<std::string>;

constexpr KubernetesVersion kNew{1, 35};

std::string digest_of(char c) {
    return "sha256:" + std::string(64, c);
}

v1::BakedImage& bake(v1::BakeRecord& record, const std::string& name, const std::string& id,
                     const char* ns = "k8s.io") {
    v1::BakedImage& image = *record.add_images();
    image.set_name(name);
    image.mutable_config()->set_digest(id);
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_(ns);
    placement.add_names(name);
    placement.add_names(id);
    placement.set_pinned(true);
    v1::Layer& layer = *image.add_layers();
    layer.set_digest(id);
    layer.set_size(1 << 20);
    return image;
}

Texts allowlist(const v1::KubeletAdvice& advice) {
    const auto& list = advice.preloaded_images_verification_allowlist();
    return {list.begin(), list.end()};
}

const v1::KubeletSetting* setting(const v1::KubeletAdvice& advice, const std::string& key) {
    const auto& all = advice.settings();
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const auto& candidate) { return candidate.key() == key; });
    return found == all.end() ? nullptr : &*found;
}

TEST_CASE("the allowlist names the repositories that CRI has") {
    v1::BakeRecord record;
    bake(record, "registry.k8s.io/pause:3.10", digest_of('a'));
    bake(record, "docker.io/library/nginx:1.27", digest_of('b'));
    bake(record, "docker.io/library/nginx:1.28", digest_of('c'));
    bake(record, "localhost:5000/app@" + digest_of('d'), digest_of('d'));
    bake(record, "docker.io/library/moby:1", digest_of('e'), "moby");
    bake(record, "not a reference", digest_of('f'));
    const v1::KubeletAdvice advice = advise_kubelet(record, kNew);
    CHECK(allowlist(advice) ==
          Texts{"docker.io/library/nginx", "localhost:5000/app", "registry.k8s.io/pause"});
    REQUIRE(setting(advice, "imagePullCredentialsVerificationPolicy") != nullptr);
    CHECK(setting(advice, "imagePullCredentialsVerificationPolicy")->value() ==
          "NeverVerifyAllowlistedImages");
    CHECK(advice.node_status_max_images() == 0);
    CHECK(setting(advice, "imageMaximumGCAge") == nullptr);
    CHECK(advice.warnings().empty());
}

TEST_CASE("versions of Kubernetes") {
    struct Row {
        const char* text;
        std::optional<KubernetesVersion> version;
    };
    using Version = KubernetesVersion;
    for (const Row& row : {Row{"1.35", Version{1, 35}},
                           Row{"v1.36.2", Version{1, 36}},
                           Row{"1.34.1", Version{1, 34}},
                           Row{"1.9", Version{1, 9}},
                           Row{"Kubernetes v1.29.0", Version{1, 29}},
                           Row{"Kubernetes v1.33.5-eks-ba24e9c\n", Version{1, 33}},
                           Row{"v1.31.2+k3s1", Version{1, 31}},
                           Row{"1.35+", Version{1, 35}},
                           Row{"1.35\n", Version{1, 35}},
                           Row{"2.0", Version{2, 0}},
                           Row{"", {}},
                           Row{"1", {}},
                           Row{"1.", {}},
                           Row{".35", {}},
                           Row{"1.x", {}},
                           Row{"1.35x", {}},
                           Row{"-1.35", {}},
                           Row{"1.-35", {}},
                           Row{"latest", {}},
                           Row{"99999999999.1", {}},
                           Row{"kubelet: not found", {}}}) {
        CAPTURE(row.text);
        CHECK(parse_kubernetes_version(row.text) == row.version);
    }
}

TEST_CASE("settings with which an old kubelet would not start are held back") {
    struct Row {
        std::optional<KubernetesVersion> kubelet;
        bool is_set;
        const char* why;
    };
    v1::BakeRecord record;
    bake(record, "docker.io/library/nginx:1.27", digest_of('a'));
    for (const Row& row :
         {Row{{{1, 35}}, true, ""}, Row{{{1, 36}}, true, ""}, Row{{{2, 0}}, true, ""},
          Row{{{1, 34}}, false, "the kubelet has version 1.34"},
          Row{{{1, 9}}, false, "has version 1.9"},
          Row{{}, false, "version of the kubelet is not known"}}) {
        CAPTURE(row.why);
        const v1::KubeletAdvice advice = advise_kubelet(record, row.kubelet);
        CHECK(advice.kubernetes().empty() == !row.kubelet.has_value());
        for (const char* key :
             {"imagePullCredentialsVerificationPolicy", "preloadedImagesVerificationAllowlist"}) {
            const v1::KubeletSetting* one = setting(advice, key);
            REQUIRE(one != nullptr);
            CHECK(one->value().empty() == !row.is_set);
            CHECK(one->held_back().empty() == row.is_set);
            CHECK(one->why().find(row.why) != std::string::npos);
        }
        const std::string yaml = to_yaml(advice);
        const std::string list =
            "preloadedImagesVerificationAllowlist:\n- \"docker.io/library/nginx\"\n";
        const std::string comment =
            "# preloadedImagesVerificationAllowlist:\n# - \"docker.io/library/nginx\"\n";
        CHECK((yaml.find("\n" + list) != std::string::npos) == row.is_set);
        CHECK((yaml.find("\n" + comment) != std::string::npos) != row.is_set);
        CHECK((yaml.find("\nimagePullCredentialsVerificationPolicy: ") != std::string::npos) ==
              row.is_set);
    }
}

TEST_CASE("without baked images there are no settings") {
    const v1::KubeletAdvice advice = advise_kubelet({}, kNew);
    CHECK(advice.settings().empty());
    CHECK(to_yaml(advice) ==
          "# For the images that prebake baked: merge this into the kubelet's configuration.\n"
          "apiVersion: kubelet.config.k8s.io/v1beta1\n"
          "kind: KubeletConfiguration\n");
}

TEST_CASE("more images than the kubelet reports") {
    struct Row {
        int images;
        int expected;
    };
    for (const Row& row : {Row{50, 0}, Row{51, 101}, Row{400, 450}}) {
        CAPTURE(row.images);
        v1::BakeRecord record;
        for (int i = 0; i < row.images; ++i) {
            const std::string tag = std::to_string(i);
            const std::string id = "sha256:" + std::string(64 - tag.size(), '0') + tag;
            bake(record, "docker.io/library/app:" + tag, id);
            bake(record, "docker.io/library/app:again" + tag, id);  // the same image
        }
        const v1::KubeletAdvice advice = advise_kubelet(record, kNew);
        CHECK(advice.node_status_max_images() == row.expected);
        CHECK((setting(advice, "nodeStatusMaxImages") != nullptr) == (row.expected > 0));
        CHECK(allowlist(advice) == Texts{"docker.io/library/app"});
    }
}

TEST_CASE("hints on garbage collection") {
    v1::BakeRecord record;
    bake(record, "docker.io/library/a:1", digest_of('a'));
    bake(record, "docker.io/library/b:1", digest_of('b')).mutable_placements(0)->set_pinned(false);
    const v1::KubeletAdvice advice = advise_kubelet(record, kNew);
    REQUIRE(setting(advice, "imageGCHighThresholdPercent") != nullptr);
    CHECK(setting(advice, "imageGCHighThresholdPercent")->why().find("(1.0 MiB") !=
          std::string::npos);
    CHECK(setting(advice, "imageGCHighThresholdPercent")->value().empty());
    CHECK(setting(advice, "imageMaximumGCAge") != nullptr);
}

TEST_CASE("YAML: settings with their reasons, hints only as comments") {
    v1::KubeletAdvice advice;
    const auto add = [&](const char* key, const char* value, const std::string& why) {
        v1::KubeletSetting& one = *advice.add_settings();
        one.set_key(key);
        one.set_value(value);
        one.set_why(why);
    };
    add("number", "7", "because");
    add("list", "- \"a\"\n- \"[::1]:5000/b\"", "long " + std::string(92, 'w') + " x");
    add("hint", "", "look at it");
    CHECK(to_yaml(advice) ==
          "# For the images that prebake baked: merge this into the kubelet's configuration.\n"
          "apiVersion: kubelet.config.k8s.io/v1beta1\n"
          "kind: KubeletConfiguration\n"
          "\n# because\nnumber: 7\n"
          "\n# long\n# " +
              std::string(92, 'w') +
              " x\nlist:\n- \"a\"\n- \"[::1]:5000/b\"\n"
              "\n# hint: look at it\n");
}

TEST_CASE("which records of the kubelet clash") {
    struct Row {
        const char* name;
        std::string image_id;
        std::map<std::string, PodAccess> known_as;
        Texts clashing;
        const char* cause = "unverified";
    };
    v1::BakeRecord record;
    bake(record, "docker.io/library/nginx:1.27", digest_of('a'));
    bake(record, "mirror.example/nginx:1.27", digest_of('a'));
    bake(record, "docker.io/library/moby:1", digest_of('b'), "moby");
    CHECK(advise_kubelet(record, kNew).warnings_size() == 1);
    const std::string hub = "docker.io/library/nginx";
    const std::string mirror = "mirror.example/nginx";
    const Texts both{hub + ":1.27", mirror + ":1.27"};
    constexpr PodAccess kAll = PodAccess::every_pod;
    constexpr PodAccess kSome = PodAccess::with_credentials;
    constexpr PodAccess kNone = PodAccess::no_pod;
    for (const Row& row :
         {Row{"pulled by a third name", digest_of('a'), {{"other.example/nginx", kAll}}, both},
          Row{"pulled by one of two names", digest_of('a'), {{hub, kAll}}, {mirror + ":1.27"}},
          Row{"pulled by both", digest_of('a'), {{mirror, kAll}, {hub, kAll}}, {}},
          Row{"pulled by both, and only who has a secret may use one",
              digest_of('a'),
              {{mirror, kSome}, {hub, kAll}},
              {mirror + ":1.27"},
              "restricted"},
          Row{"pods that have a secret",
              digest_of('a'),
              {{mirror, kSome}, {hub, kSome}},
              both,
              "restricted"},
          Row{"an entry without credentials",
              digest_of('a'),
              {{mirror, kNone}, {hub, kNone}},
              both},
          Row{"no credentials are known at all", digest_of('a'), {}, both},
          Row{"a name that begins alike",
              digest_of('a'),
              {{hub + "x", kAll}, {mirror, kAll}},
              {hub + ":1.27"}},
          Row{"not baked", digest_of('c'), {{"other.example/x", kAll}}, {}},
          Row{"baked, but not for the kubelet", digest_of('b'), {{"other.example/x", kAll}}, {}}}) {
        CAPTURE(row.name);
        Texts clashing;
        for (const auto& clash :
             find_clashes(record, {{{"/pulled/sha256-x", row.image_id, row.known_as}}, {}})) {
            clashing.push_back(clash.image());
            CHECK(clash.file() == "/pulled/sha256-x");
            CHECK(clash.image_id() == row.image_id);
            CHECK(clash.known_as_size() == static_cast<int>(row.known_as.size()));
            CHECK(clash.cause() == row.cause);
            CHECK(clash.message().find(clash.image() + " again") != std::string::npos);
            CHECK(clash.next_step().find("preloadedImagesVerificationAllowlist") !=
                  std::string::npos);
        }
        CHECK(clashing == row.clashing);
    }
}

TEST_CASE("which intents of the kubelet clash") {
    struct Row {
        const char* image;
        const char* clashing;  // null: no clash
    };
    v1::BakeRecord record;
    const std::string digest = "@" + digest_of('d');
    bake(record, "docker.io/library/nginx:1.27", digest_of('a'))
        .mutable_placements(0)
        ->add_names("docker.io/library/nginx" + digest);
    bake(record, "docker.io/library/nginx:latest", digest_of('b'));
    bake(record, "registry.example:5000/app:1", digest_of('c'));
    bake(record, "docker.io/library/moby:1", digest_of('e'), "moby");
    const std::string by_digest = "docker.io/library/nginx" + digest;
    const std::string by_both = "nginx:9" + digest;
    for (const Row& row : {
             Row{"nginx:1.27", "docker.io/library/nginx:1.27"},
             Row{"docker.io/library/nginx:1.27", "docker.io/library/nginx:1.27"},
             Row{"library/nginx:1.27", "docker.io/library/nginx:1.27"},
             Row{"nginx:latest", "docker.io/library/nginx:latest"},
             Row{by_digest.c_str(), by_digest.c_str()},
             Row{by_both.c_str(), by_digest.c_str()},
             Row{"nginx:1.28", nullptr},
             Row{"mirror.example/nginx:1.27", nullptr},
             Row{"docker.io/library/moby:1", nullptr},
             Row{"registry.example:5000/app:1", nullptr},  // the record decides
             Row{"no reference!", nullptr},
         }) {
        CAPTURE(row.image);
        const PullRecord known{"/pulled/sha256-y",
                               digest_of('c'),
                               {{"registry.example:5000/app", PodAccess::every_pod}}};
        const auto clashes =
            find_clashes(record, {{known}, {PullIntent{"/pulling/sha256-x", row.image}}});
        REQUIRE(clashes.size() == (row.clashing != nullptr ? 1 : 0));
        if (row.clashing == nullptr) continue;
        CHECK(clashes[0].image() == row.clashing);
        CHECK(clashes[0].file() == "/pulling/sha256-x");
        CHECK(clashes[0].image_id().starts_with("sha256:"));
        CHECK(clashes[0].cause() == "pull_begun");
        CHECK(clashes[0].message().find(row.image) != std::string::npos);
        CHECK(clashes[0].next_step().find("add docker.io/library/nginx to preloaded") !=
              std::string::npos);
    }
}

class Kubelet {
  public:
    Kubelet() {
        fs::create_directories(pulled());
        fs::create_directories(pulling());
    }
    fs::path root() const { return directory_.path(); }
    fs::path pulled() const { return root() / "image_manager/pulled"; }
    fs::path pulling() const { return root() / "image_manager/pulling"; }
    void write(const std::string& name, const std::string& text) const {
        std::ofstream(pulled() / name) << text;
    }

  private:
    TemporaryDirectory directory_;
};

std::string record_text(const std::string& version, const std::string& more) {
    return R"({"kind":"ImagePulledRecord","apiVersion":"kubelet.config.k8s.io/)" + version +
           R"(","lastUpdatedTime":"2026-01-01T00:00:00Z")" + more + "}";
}

TEST_CASE("records are read, other files are ignored or reported") {
    const Kubelet kubelet;
    kubelet.write("sha256-1",
                  record_text("v1alpha1", R"(,"imageRef":"sha256:1","credentialMapping":{
        "docker.io/library/a":{"nodePodsAccessible":true},
        "b.example/c":{"kubernetesSecrets":[{"uid":"u","name":"secret-name"}]},
        "b.example/d":{"nodePodsAccessible":false,
                       "kubernetesServiceAccounts":[{"uid":"u","name":"n","namespace":"s"}]},
        "b.example/e":{},
        "b.example/f":{"nodePodsAccessible":"true","kubernetesSecrets":[]},
        "b.example/g":{"nodePodsAccessible":1,"kubernetesServiceAccounts":{"a":1}},
        "b.example/h":null})"));
    kubelet.write("sha256-2", record_text("v1beta1", R"(,"imageRef":"sha256:2")"));
    kubelet.write("sha256-3-empty", "");
    kubelet.write("sha256-4-cut", R"({"kind":"ImagePulledRecord","apiVer)");
    kubelet.write("sha256-5-other", R"({"kind":"Pod","apiVersion":"v1","imageRef":"sha256:5"})");
    kubelet.write("sha256-6-list", "[[[[]]]]");
    kubelet.write("sha256-7-numbers", record_text("v1", R"(,"imageRef":7,"credentialMapping":7)"));
    kubelet.write("sha256-8-large", std::string((1 << 20) + 1, ' '));
    kubelet.write("sha256-9-deep", std::string(100'000, '['));
    kubelet.write("tmp-12345", "half");
    kubelet.write("sha256-1.tmp", "half");
    fs::create_symlink("/etc/passwd", kubelet.pulled() / "sha256-link");
    fs::create_directory(kubelet.pulled() / "sha256-directory");

    Texts warnings;
    const std::vector<PullRecord> records = read_pull_records(kubelet.root(), warnings).pulled;
    REQUIRE(records.size() == 2);
    CHECK(records[0].image_id == "sha256:1");
    CHECK(records[0].known_as ==
          std::map<std::string, PodAccess>{{"docker.io/library/a", PodAccess::every_pod},
                                           {"b.example/c", PodAccess::with_credentials},
                                           {"b.example/d", PodAccess::with_credentials},
                                           {"b.example/e", PodAccess::no_pod},
                                           {"b.example/f", PodAccess::no_pod},
                                           {"b.example/g", PodAccess::no_pod},
                                           {"b.example/h", PodAccess::no_pod}});
    CHECK(records[0].file == kubelet.pulled() / "sha256-1");
    CHECK(records[1].known_as.empty());
    CHECK(warnings.size() == 9);
    for (const std::string& warning : warnings) {
        CAPTURE(warning);
        CHECK(warning.find((kubelet.pulled() / "sha256-").string()) != std::string::npos);
    }
}

TEST_CASE("intents are read, other files are ignored or reported") {
    const Kubelet kubelet;
    const auto write = [&](const char* name, const char* text) {
        std::ofstream(kubelet.pulling() / name) << text;
    };
    write("sha256-1", R"({"kind":"ImagePullIntent","apiVersion":"kubelet.config.k8s.io/v1beta1",)"
                      R"("image":"nginx:1.27"})");
    write("sha256-2", R"({"kind":"ImagePullIntent","apiVersion":"kubelet.config.k8s.io/v1beta1"})");
    write("sha256-3", R"({"kind":"ImagePullIntent","apiVersion":"v1","image":"nginx"})");
    write("sha256-4", R"({"kind":"ImagePulledRecord","apiVersion":"kubelet.config.k8s.io/v1",)"
                      R"("imageRef":"sha256:1","image":"nginx"})");
    write("sha256-5.tmp", "half");
    Texts warnings;
    const PullRecords records = read_pull_records(kubelet.root(), warnings);
    CHECK(records.pulled.empty());
    REQUIRE(records.pulling.size() == 1);
    CHECK(records.pulling[0].image == "nginx:1.27");
    CHECK(records.pulling[0].file == kubelet.pulling() / "sha256-1");
    CHECK(warnings.size() == 3);
}

TEST_CASE("no kubelet, no records") {
    const TemporaryDirectory directory;
    Texts warnings;
    const auto count = [&] {
        const PullRecords records = read_pull_records(directory.path(), warnings);
        return records.pulled.size() + records.pulling.size();
    };
    CHECK(count() == 0);
    CHECK(warnings.empty());
    std::ofstream(directory.path() / "image_manager") << "a file";
    CHECK(count() == 0);
}

TEST_CASE("too many records are not read") {
    const Kubelet kubelet;
    for (int i = 0; i < 5001; ++i) {
        kubelet.write("sha256-" + std::to_string(i),
                      record_text("v1alpha1", R"(,"imageRef":"sha256:1")"));
    }
    Texts warnings;
    CHECK(read_pull_records(kubelet.root(), warnings).pulled.size() == 5000);
    CHECK(warnings.size() == 1);
}

}  // namespace
}  // namespace prebake::kubelet
