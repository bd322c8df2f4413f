#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace prebake::identity {

/// A file of a machine: a directory if `path` ends with '/', a link if `link_to` is set.
struct FixtureFile {
    std::string path;
    std::string contents;
    mode_t mode = 0644;
    std::string link_to = {};
    /// What happens to it when its item is sealed.
    enum class After { gone, as_before, says } after = After::gone;
    std::string says = {};  ///< of After::says
};

/// What an item finds on a machine, and what beside it must stay.
struct Fixture {
    std::string_view item;
    std::vector<FixtureFile> files;
};

inline FixtureFile gone(std::string path, std::string contents = "x\n", mode_t mode = 0644) {
    return {std::move(path), std::move(contents), mode};
}
inline FixtureFile gone_link(std::string path, std::string to) {
    return {std::move(path), "", 0777, std::move(to)};
}
inline FixtureFile becomes(std::string path, std::string contents, std::string says,
                           mode_t mode = 0644) {
    return {std::move(path),          std::move(contents), mode, {},
            FixtureFile::After::says, std::move(says)};
}
inline FixtureFile emptied(std::string path, std::string contents = "x\n", mode_t mode = 0644) {
    return becomes(std::move(path), std::move(contents), "", mode);
}
inline FixtureFile stays(std::string path, std::string contents = "x\n", mode_t mode = 0644) {
    return {std::move(path), std::move(contents), mode, {}, FixtureFile::After::as_before};
}
inline FixtureFile stays_link(std::string path, std::string to) {
    return {std::move(path), "", 0777, std::move(to), FixtureFile::After::as_before};
}

std::vector<Fixture> system_fixtures();
std::vector<Fixture> network_fixtures();
std::vector<Fixture> cluster_fixtures();
std::vector<Fixture> agent_fixtures();
std::vector<Fixture> people_fixtures();

/// Of every item.
std::vector<Fixture> all_fixtures();

void make(const std::filesystem::path& root, const std::vector<FixtureFile>& files);

}  // namespace prebake::identity
