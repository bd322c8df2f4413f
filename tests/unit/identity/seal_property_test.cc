// Seal twice = seal once, and nothing that is not targeted is touched: on random trees.
#include <doctest/doctest.h>
#include <fnmatch.h>

#include <random>
#include <set>

#include "agent/identity/claim.h"
#include "agent/identity/seal.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::identity {
namespace {

constexpr unsigned kSeed = 20240229;
constexpr int kRounds = 50;
constexpr const char* kHome = "/home/builder";

class Dice {
  public:
    explicit Dice(unsigned seed) : engine_(seed) {}
    std::size_t below(std::size_t limit) {
        return std::uniform_int_distribution<std::size_t>(0, limit - 1)(engine_);
    }
    bool one_in(std::size_t chances) { return below(chances) == 0; }

  private:
    std::mt19937 engine_;
};

std::vector<std::string> components_of(std::string_view path) {
    std::vector<std::string> components;
    while (!path.empty()) {
        path.remove_prefix(1);
        components.emplace_back(path.substr(0, path.find('/')));
        path.remove_prefix(components.back().size());
    }
    return components;
}

/// With the home directory that the trees have.
std::string absolute(std::string_view pattern) {
    return pattern.starts_with('~') ? kHome + std::string(pattern.substr(1)) : std::string(pattern);
}

/// A path that the pattern names.
std::string instance_of(std::string_view pattern, Dice& dice) {
    std::string path;
    const std::string text = absolute(pattern);
    for (std::size_t i = 0; i < text.size(); ++i) {
        switch (text[i]) {
            case '*':
                for (std::size_t n = 1 + dice.below(3); n > 0; --n)
                    path += static_cast<char>('a' + dice.below(26));
                break;
            case '?':
                path += 'q';
                break;
            case '[':
                path += text[i + 1];
                i = text.find(']', i + 2);
                break;
            default:
                path += text[i];
        }
    }
    return path;
}

/// Whether the pattern names the path itself (0), something above it (1), or nothing of it (-1).
int depth_below(std::string_view pattern, const std::string& path) {
    const std::vector<std::string> names = components_of(path);
    const std::vector<std::string> wanted = components_of(absolute(pattern));
    if (wanted.size() > names.size()) return -1;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        if (::fnmatch(wanted[i].c_str(), names[i].c_str(), FNM_PERIOD) != 0) return -1;
    }
    return wanted.size() == names.size() ? 0 : 1;
}

/// Whether an item may change the path; written independently of survey().
bool is_target(const Target& target, const std::string& path) {
    const int depth = depth_below(target.pattern, path);
    switch (target.what) {
        case Target::What::file:
            return depth >= 0;
        case Target::What::contents:
        case Target::What::all_bytes:
            return depth > 0;
        case Target::What::bytes:
            return depth == 0;
    }
    return false;
}

void put_instance(const tests::TestTree& tree, const Target& target, Dice& dice) {
    const std::string path = instance_of(target.pattern, dice);
    // What is there already as something else stays: the patterns overlap.
    for (std::string above = path; above.size() > 1; above.resize(above.rfind('/'))) {
        if (tree.has(above) && (above == path || !std::filesystem::is_directory(tree.at(above))))
            return;
    }
    const bool is_directory = target.what == Target::What::contents ||
                              target.what == Target::What::all_bytes ||
                              (target.what == Target::What::file && dice.one_in(3));
    if (!is_directory && target.what == Target::What::file && dice.one_in(4))
        return tree.link(path, "/srv/precious");
    if (!is_directory) return tree.put(path, dice.one_in(4) ? "" : "text\n", 0640);
    tree.make_directory(path);
    for (std::size_t n = dice.below(3); n > 0; --n) {
        tree.put(path + "/" + std::to_string(n), "text\n", 0600);
        tree.put(path + "/.d/e/" + std::to_string(n), "", 0600);
    }
}

/// Files that nobody asked to have removed: some at fixed places, some beside targets.
void put_bystanders(const tests::TestTree& tree, Dice& dice) {
    tree.put("/srv/precious", "kept\n");
    tree.put("/usr/bin/tool", "kept\n", 0755);
    tree.put("/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/1", "kept\n");
    tree.put("/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db", "kept\n", 0600);
    tree.put("/var/lib/docker/overlay2/l/x", "kept\n");
    tree.put("/var/lib/prebake/bake.json", "{}");
    const std::vector<Item>& list = items();
    for (int n = 0; n < 10; ++n) {
        const Item& item = list[dice.below(list.size())];
        if (item.targets.empty()) continue;
        const Target& target = item.targets[dice.below(item.targets.size())];
        const std::string path = instance_of(target.pattern, dice) + "-beside";
        const std::string parent = path.substr(0, path.rfind('/'));
        const bool has_room = !tree.has(parent) || std::filesystem::is_directory(tree.at(parent));
        if (has_room && !tree.has(path)) tree.put(path, "kept\n");
    }
}

SealScope scope_of(Dice& dice) {
    SealScope scope;
    for (const Item& item : items()) {
        if (item.by_default == Default::off && dice.one_in(2)) scope.also.emplace_back(item.name);
        if (item.by_default != Default::report && dice.one_in(20))
            scope.skip.emplace_back(item.name);
    }
    if (dice.one_in(2)) scope.settings.machine_id = MachineIdFormat::uninitialized;
    return scope;
}

TEST_CASE("sealing twice is sealing once, and other files are not changed") {
    std::uint32_t changes = 0;
    for (int round = 0; round < kRounds; ++round) {
        CAPTURE(round);
        Dice dice(kSeed + static_cast<unsigned>(round));
        const tests::TestTree tree;
        tree.put("/etc/passwd", std::string("builder:x:1000:1000::") + kHome + ":/bin/bash\n");
        tree.make_directory(kHome);
        const SealScope scope = scope_of(dice);
        for (const Item& item : items()) {
            for (const Target& target : item.targets) {
                if (dice.one_in(25)) put_instance(tree, target, dice);
            }
        }
        put_bystanders(tree, dice);
        std::set<std::string> extra;
        for (const Item& item : items()) {
            if (item.extra_changes == nullptr) continue;
            for (const Change& change : item.extra_changes(tree.root(), scope.settings))
                extra.insert(change.path);
        }
        const auto may_change = [&](const std::string& path) {
            if (path == "/var/lib/prebake" || path.starts_with("/var/lib/prebake/claim.json") ||
                path == "/var/lib/prebake/bake.lock" || path == "/var/lib/prebake/firstboot.lock") {
                return true;
            }
            for (std::string above = path; !above.empty(); above.resize(above.rfind('/'))) {
                if (extra.count(above) != 0) return true;
            }
            for (const Item& item : items()) {
                if (treatment_of(item, scope) != Treatment::seal) continue;
                for (const Target& target : item.targets) {
                    if (is_target(target, path)) return true;
                }
            }
            return false;
        };

        const auto before = tree.everything();
        SealOptions options;
        options.scope = scope;
        const v1::SealReport first = seal(tree.root(), options, {});
        const auto once = tree.everything();
        const v1::SealReport second = seal(tree.root(), options, {});

        REQUIRE_MESSAGE(first.failed() == 0, first.ShortDebugString());
        REQUIRE_MESSAGE(second.failed() == 0, second.ShortDebugString());
        REQUIRE_MESSAGE(second.changes() == 0, second.ShortDebugString());
        REQUIRE(tree.everything() == once);
        for (const auto& file : before) {
            const auto now = once.find(file.first);
            const bool is_touched = now == once.end() || now->second != file.second;
            if (is_touched) REQUIRE_MESSAGE(may_change(file.first), file.first);
        }
        for (const auto& file : once) {
            if (before.count(file.first) == 0) REQUIRE_MESSAGE(may_change(file.first), file.first);
        }
        changes += first.changes();
    }
    CHECK(changes > 10U * kRounds);  // the trees were worth sealing
}

}  // namespace
}  // namespace prebake::identity
