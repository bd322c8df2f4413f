#include "agent/hydrate/starting_images.h"

#include <doctest/doctest.h>

#include <fstream>
#include <utility>

#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate::starting_images_test {

using namespace std::chrono_literals;
using Paths = std::vector<std::filesystem::path>;

v1::HydrationPlan plan(
    const std::vector<std::pair<std::string, std::vector<std::string>>>& images) {
    v1::HydrationPlan made;
    v1::PlannedFiles& first = *made.add_files();
    first.set_rank(v1::METADATA);
    first.add_paths("/etc");
    for (const auto& [name, directories] : images) {
        v1::PlannedFiles& files = *made.add_files();
        files.set_rank(v1::IMAGES);
        files.set_image(name);
        for (const std::string& directory : directories) files.add_paths(directory);
    }
    return made;
}

TEST_CASE("which images a container's layers are of") {
    // "model" is read first, so it has the layers that all of them share.
    const ImageDirectories images(plan({{"model", {"/s/1/fs", "/s/2/fs", "/s/3/fs"}},
                                        {"service", {"/s/4/fs"}},
                                        {"tool", {"/s/5/fs", "/s/11/fs"}}}));
    struct Row {
        const char* name;
        Paths lowers;
        std::vector<StartingImage> images;
    };
    const Row rows[] = {
        {"nothing", {}, {}},
        {"an unknown image", {"/s/9/fs", "/s/8/fs"}, {}},
        {"all of an image", {"/s/3/fs", "/s/2/fs", "/s/1/fs"}, {{"model", true}}},
        {"what is needed for sure comes first",
         {"/s/4/fs", "/s/2/fs", "/s/1/fs"},
         {{"service", true}, {"model", false}}},
        {"then what has more of it",
         {"/s/9/fs", "/s/11/fs", "/s/2/fs", "/s/1/fs"},
         {{"model", false}, {"tool", false}}},
        {"ends of paths", {"5/fs", "1/fs"}, {{"model", false}, {"tool", true}}},
        {"a directory above", {"/s/1"}, {}},
        {"the metadata", {"/etc"}, {}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(images.images_with(row.lowers) == row.images);
    }
    CHECK(images.has("/s/11/fs"));
    CHECK_FALSE(images.has("/etc"));
}

TEST_CASE("the parts of images") {
    const auto part = [](v1::HydrationRank rank, const char* image) {
        return PartToRead{.rank = rank, .image = image, .chunks = {}};
    };
    VolumeToRead first;
    first.parts = {part(v1::METADATA, ""), part(v1::TRACED, "a"), part(v1::TRACED, "b"),
                   part(v1::IMAGES, "a"), part(v1::IMAGES, "b"),
                   // In the content store.
                   part(v1::IMAGES, "a"), part(v1::BOOT, "")};
    VolumeToRead second;
    second.parts = {part(v1::IMAGES, "a")};
    std::vector<PartWork> parts;
    for (std::size_t i = 0; i < first.parts.size(); ++i) {
        parts.push_back({.index = i, .rank = first.parts[i].rank, .chunks = {}});
    }
    parts.push_back({.volume = 1, .rank = v1::IMAGES, .chunks = {}});
    const WorkList work(parts);
    const auto found = [&](const std::vector<StartingImage>& images) {
        return parts_of(images, work, {&first, &second});
    };
    CHECK(found({}).empty());
    CHECK(found({{"c", true}}).empty());
    CHECK(found({{"a", true}}) == std::vector<std::size_t>{1, 3, 7});
    CHECK(found({{"b", true}, {"a", false}}) == std::vector<std::size_t>{2, 1, 4, 3, 7});
}

class Runtime {
  public:
    std::filesystem::path create(const std::string& name, const std::string& spec = {}) const {
        std::filesystem::create_directory(directory_ / name);
        if (!spec.empty()) std::ofstream(directory_ / name / "config.json") << spec;
        return directory_ / name;
    }
    void mount(const std::filesystem::path& where, const std::string& lowers) const {
        std::ofstream(mountinfo(), std::ios::app)
            << "50 22 0:45 / " << where.string() << " rw - overlay overlay rw,lowerdir=" << lowers
            << ",upperdir=/s/9/fs\n";
    }
    std::filesystem::path mountinfo() const { return directory_ / "mountinfo"; }
    std::filesystem::path path() const { return std::filesystem::canonical(directory_.path()); }

  private:
    TemporaryDirectory directory_;
};

const StartingContainers::Time kStart = StartingContainers::Time{} + 1h;

TEST_CASE("a container is known when its root file system is mounted") {
    const Runtime runtime;
    const ImageDirectories known(plan({}));
    StartingContainers starting(runtime.mountinfo());
    CHECK(starting.take_mounted(kStart, known).empty());
    const auto container = runtime.create("one", R"({"root": {"path": "rootfs"}})");
    starting.add(container, kStart);
    starting.add(container, kStart);
    CHECK(starting.take_mounted(kStart + 1s, known).empty());
    runtime.mount(runtime.path() / "one" / "rootfs", "/s/2/fs:/s/1/fs");
    CHECK(starting.take_mounted(kStart + 2s, known) == std::vector<Paths>{{"/s/2/fs", "/s/1/fs"}});
    CHECK(starting.take_mounted(kStart + 2s, known).empty());
}

TEST_CASE("a container whose root file system is elsewhere, with links") {
    const Runtime runtime;
    const ImageDirectories known(plan({{"image", {"/s/1/fs"}}}));
    std::filesystem::create_directories(runtime.path() / "ID" / "diff");
    std::filesystem::create_symlink("ID/diff", runtime.path() / "link");
    StartingContainers starting(runtime.mountinfo());
    starting.add(runtime.create("one", R"({"root": {"pa)"), kStart);
    runtime.mount("/merged", (runtime.path() / "link").string() + ":/s/1/fs:/gone");
    CHECK(starting.take_mounted(kStart, known).empty());
    runtime.create("one", R"({"root": {"path": "/merged"}})");
    CHECK(starting.take_mounted(kStart, known) ==
          std::vector<Paths>{{runtime.path() / "ID" / "diff", "/s/1/fs", "/gone"}});
}

TEST_CASE("a container that has no overlay is forgotten") {
    const Runtime runtime;
    const ImageDirectories known(plan({}));
    StartingContainers starting(runtime.mountinfo());
    for (const char* spec : {"", "[]", R"({"root": 1})", R"({"root": {"path": 2}})"}) {
        starting.add(runtime.create(std::to_string(std::string(spec).size()), spec), kStart);
    }
    CHECK(starting.take_mounted(kStart + 10s, known).empty());
    runtime.mount(runtime.path() / "0" / "rootfs", "/s/1/fs");
    CHECK(starting.take_mounted(kStart + 11s, known).empty());
}

}  // namespace prebake::hydrate::starting_images_test
