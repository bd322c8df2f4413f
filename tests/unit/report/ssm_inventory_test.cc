#include "agent/report/ssm_inventory.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <boost/json.hpp>
#include <fstream>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::report {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

const std::string kInstance = "i-0123456789abcdef0";

void add_image(NodeView& view, const std::string& name, const std::string& state,
               const std::string& message = "") {
    v1::ImageState& image = *view.status.add_images();
    image.set_name(name);
    image.set_namespace_("k8s.io");
    image.set_state(state);
    image.set_message(message);
}

std::string at(const json::value& entry, const char* key) {
    return std::string(entry.at(key).as_string().c_str());
}

/// The checks of the agent (amazon-ssm-agent, gatherers/custom) for one file.
json::value checked(const InventoryFile& file) {
    CAPTURE(file.name);
    const json::value whole = json::parse(file.json);
    CHECK(at(whole, "SchemaVersion") == "1.0");
    CHECK(whole.at("TypeName").as_string().starts_with("Custom:Prebake"));
    const json::value& content = whole.at("Content");
    const json::array entries = content.is_array() ? content.as_array() : json::array{content};
    for (const json::value& entry : entries) {
        CHECK(entry.as_object().size() <= 50);
        for (const auto& [name, value] : entry.as_object()) {
            CHECK(name.size() <= 64);
            CHECK((name[0] >= 'A' && name[0] <= 'Z'));
            REQUIRE(value.is_string());
            CHECK(value.as_string().size() <= 4096);
            const std::string text(value.as_string().c_str(), value.as_string().size());
            CHECK(printable(text) == text);
        }
    }
    return content;
}

TEST_CASE("the node and its images") {
    NodeView view;
    view.status.set_verdict("not_ready");
    view.status.set_message("ImagesUnpacked: one is not");
    for (const auto& [type, value] :
         {std::pair("ImagesPresent", "True"), std::pair("ImagesUnpacked", "False"),
          std::pair("CriResolves", "False"), std::pair("ImagesPinned", "NotApplicable")}) {
        v1::Condition& condition = *view.status.add_conditions();
        condition.set_type(type);
        condition.set_status(value);
        condition.set_message("why");
    }
    view.status.mutable_since_claim()->set_hit_ratio(0.96362);
    view.status.mutable_counts()->set_baked(2);
    view.status.mutable_updated_at()->set_seconds(1'800'000'000);
    add_image(view, "docker.io/library/good:1", "usable", "was fine");
    add_image(view, "docker.io/library/bad:1", "unusable", "layers are gone");

    const std::vector<InventoryFile> files = inventory_of(view);
    REQUIRE(files.size() == 2);
    const json::value node = checked(files[0]);
    CHECK(at(node, "Verdict") == "not_ready");
    CHECK(at(node, "Ready") == "false");
    CHECK(at(node, "NotTrue") == "ImagesUnpacked,CriResolves");
    CHECK(at(node, "Reasons") == "ImagesUnpacked: why; CriResolves: why");
    CHECK(at(node, "HitRatio") == "0.963");
    CHECK(at(node, "ImagesBaked") == "2");
    CHECK(at(node, "ImagesListed") == "2");
    const json::value images = checked(files[1]);
    CHECK(at(images.at(0), "Name") == "docker.io/library/bad:1");
    CHECK(at(images.at(0), "Problem") == "layers are gone");
    CHECK(at(images.at(1), "Problem") == "");

    view.status.mutable_updated_at()->set_seconds(1'900'000'000);
    CHECK(inventory_of(view)[0].json == files[0].json);  // insignificant changes are not sent
}

TEST_CASE("hydration is in the inventory when it is done, and not every second of it") {
    NodeView view;
    CHECK(at(checked(inventory_of(view)[0]), "Hydration") == "");
    v1::NodeHydration& hydration = *view.status.mutable_hydration();
    hydration.set_state("hydrating");
    hydration.set_total_bytes(1000);
    hydration.set_bytes(1);
    hydration.set_seconds(1.2);
    const std::string before = inventory_of(view)[0].json;
    hydration.set_bytes(2);
    hydration.set_seconds(2.3);
    CHECK(inventory_of(view)[0].json == before);
    hydration.set_state("hydrated");
    hydration.set_seconds(95.6);
    const json::value node = checked(inventory_of(view)[0]);
    CHECK(at(node, "Hydration") == "hydrated");
    CHECK(at(node, "HydrationBytes") == "1000");
    CHECK(at(node, "HydrationSeconds") == "96");
}

TEST_CASE("inventory is valid after any input, and bounded") {
    NodeView view;
    const std::string nasty = "\x01\n\"\\\xff\xc3" + std::string(70'000, 'x') + "\xf0\x9f\x8d\x9e";
    view.status.set_message(nasty);
    view.status.set_verdict(nasty);
    for (int i = 0; i < 20; ++i) {
        v1::Condition& condition = *view.status.add_conditions();
        condition.set_type("\xc3\xa4" + std::string(400, 't'));
        condition.set_status("False");
        condition.set_message(nasty);
    }
    for (int i = 0; i < 1000; ++i) add_image(view, nasty, "usable");
    add_image(view, "docker.io/library/bad:1", "unusable", nasty);
    const std::vector<InventoryFile> files = inventory_of(view);
    const json::value node = checked(files[0]);
    const json::value images = checked(files[1]);
    CHECK(images.as_array().size() > 100);
    CHECK(images.as_array().size() <= 500);
    CHECK(at(images.at(0), "Name") == "docker.io/library/bad:1");
    CHECK(at(node, "ImagesTotal") == "1001");
    CHECK(at(node, "ImagesListed") == std::to_string(images.as_array().size()));
    CHECK(files[1].json.size() < 200'000);
}

TEST_CASE("nothing baked is an empty list") {
    const std::vector<InventoryFile> files = inventory_of({});
    checked(files[0]);
    CHECK(checked(files[1]).as_array().empty());
}

class Machine {
  public:
    fs::path root() const { return directory_.path(); }
    fs::path ssm() const { return root() / "var/lib/amazon/ssm"; }
    fs::path custom() const { return ssm() / kInstance / "inventory/custom"; }
    void install_agent() const { fs::create_directories(ssm()); }

    std::size_t count_files() const {
        std::size_t files = 0;
        for (const auto& entry : fs::recursive_directory_iterator(root())) {
            files += entry.is_regular_file() ? 1 : 0;
        }
        return files;
    }

  private:
    TemporaryDirectory directory_;
};

const std::vector<InventoryFile> kFiles{{"prebake-node.json", "one"},
                                        {"prebake-image.json", "two"}};

TEST_CASE("written if the agent is installed, for an instance") {
    struct Row {
        const char* name;
        std::string agent;  // the existing part
        std::string instance;
        bool is_written;
    };
    for (const Row& row : {Row{"its data", "var/lib/amazon/ssm/x", kInstance, true},
                           Row{"its program", "usr/bin/amazon-ssm-agent", kInstance, true},
                           Row{"its snap", "snap/amazon-ssm-agent/current", kInstance, true},
                           Row{"an old, short id", "var/lib/amazon/ssm/x", "i-01234567", true},
                           Row{"no agent", "etc/passwd", kInstance, false},
                           Row{"not an instance", "var/lib/amazon/ssm/x", "", false},
                           Row{"upwards", "var/lib/amazon/ssm/x", "../../i-01234567", false},
                           Row{"a longer path", "var/lib/amazon/ssm/x", "i-01234567/x", false},
                           Row{"a line more", "var/lib/amazon/ssm/x", "i-01234567\n", false},
                           Row{"another cloud's", "var/lib/amazon/ssm/x", "1234567890", false}}) {
        CAPTURE(row.name);
        const Machine machine;
        fs::create_directories((machine.root() / row.agent).parent_path());
        std::ofstream(machine.root() / row.agent) << "x";
        CHECK(write_inventory(machine.root(), row.instance, kFiles).empty());
        CHECK(machine.count_files() == (row.is_written ? 3 : 1));
        if (!row.is_written) continue;
        const fs::path custom = machine.ssm() / row.instance / "inventory/custom";
        CHECK(read_file(custom / "prebake-node.json", 100) == "one");
        CHECK(read_file(custom / "prebake-image.json", 100) == "two");
        CHECK(fs::status(custom).permissions() == fs::perms::owner_all);
        const fs::perms ours = fs::perms::owner_read | fs::perms::owner_write;
        CHECK(fs::status(custom / "prebake-node.json").permissions() == ours);
    }
}

TEST_CASE("unchanged files are not written again") {
    const Machine machine;
    machine.install_agent();
    write_inventory(machine.root(), kInstance, kFiles);
    const auto inode = [&](const char* name) {
        struct stat found {};
        REQUIRE(::stat((machine.custom() / name).c_str(), &found) == 0);
        return found.st_ino;
    };
    const auto node = inode("prebake-node.json");
    std::ofstream(machine.custom() / "prebake-image.json") << "spoilt";
    write_inventory(machine.root(), kInstance, kFiles);
    CHECK(inode("prebake-node.json") == node);
    CHECK(read_file(machine.custom() / "prebake-image.json", 100) == "two");
}

TEST_CASE("never writes more files than the agent accepts") {
    for (const int others : {18, 19}) {
        CAPTURE(others);
        const Machine machine;
        fs::create_directories(machine.custom());
        for (int i = 0; i < others; ++i) {
            std::ofstream(machine.custom() / (std::to_string(i) + ".json")) << "{}";
        }
        std::ofstream(machine.custom() / "notes.txt") << "does not count";
        const std::string left_undone = write_inventory(machine.root(), kInstance, kFiles);
        CHECK(left_undone.empty() == (others == 18));
        CHECK(fs::exists(machine.custom() / "prebake-node.json") == (others == 18));
        // Our own files do not count as others: a second run succeeds.
        CHECK(write_inventory(machine.root(), kInstance, kFiles) == left_undone);
    }
}

TEST_CASE("nothing is written through a link") {
    for (const char* link : {"i-0123456789abcdef0", "i-0123456789abcdef0/inventory",
                             "i-0123456789abcdef0/inventory/custom"}) {
        CAPTURE(link);
        const Machine machine;
        machine.install_agent();
        const fs::path elsewhere = machine.root() / "elsewhere";
        fs::create_directories(elsewhere / "inventory/custom");
        fs::create_directories((machine.ssm() / link).parent_path());
        fs::create_directory_symlink(elsewhere, machine.ssm() / link);
        CHECK_THROWS_AS(write_inventory(machine.root(), kInstance, kFiles), Error);
        CHECK(machine.count_files() == 0);
    }
    const Machine machine;  // a link instead of the file is replaced, not followed
    fs::create_directories(machine.custom());
    std::ofstream(machine.root() / "victim") << "precious";
    fs::create_symlink(machine.root() / "victim", machine.custom() / "prebake-node.json");
    CHECK(write_inventory(machine.root(), kInstance, kFiles).empty());
    CHECK(read_file(machine.root() / "victim", 100) == "precious");
    CHECK(read_file(machine.custom() / "prebake-node.json", 100) == "one");
}

TEST_CASE("a directory that cannot be created is an error") {
    const Machine machine;
    machine.install_agent();
    std::ofstream(machine.ssm() / kInstance) << "a file";
    CHECK_THROWS_AS(write_inventory(machine.root(), kInstance, kFiles), Error);
}

}  // namespace
}  // namespace prebake::report
