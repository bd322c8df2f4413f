#include "tests/unit/identity/items_fixtures.h"

#include <unistd.h>

#include <fstream>
#include <iterator>

namespace prebake::identity {

namespace fs = std::filesystem;

std::vector<Fixture> all_fixtures() {
    std::vector<Fixture> all;
    for (std::vector<Fixture> part : {system_fixtures(), network_fixtures(), cluster_fixtures(),
                                      agent_fixtures(), people_fixtures()}) {
        all.insert(all.end(), std::make_move_iterator(part.begin()),
                   std::make_move_iterator(part.end()));
    }
    return all;
}

void make(const fs::path& root, const std::vector<FixtureFile>& files) {
    for (const FixtureFile& file : files) {
        const fs::path path = root / fs::path(file.path).relative_path();
        const bool is_directory = file.path.ends_with('/');
        fs::create_directories(is_directory ? path : path.parent_path());
        if (!file.link_to.empty()) {
            fs::create_symlink(file.link_to, path);
            continue;
        }
        if (!is_directory) std::ofstream(path, std::ios::binary) << file.contents;
        // Only root may empty what nobody may write, as /etc/machine-id.
        const mode_t mode = ::geteuid() == 0 ? file.mode : file.mode | 0200;
        if (is_directory) {
            fs::permissions(path.parent_path(), fs::perms(file.mode == 0644 ? 0755 : mode));
        } else {
            fs::permissions(path, fs::perms(mode));
        }
    }
}

}  // namespace prebake::identity
