#include "tests/system/containerd_client/layer_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <doctest/doctest.h>

#include <memory>

namespace prebake::test {

std::string tar_of(const std::string& contents, int filter) {
    std::string bytes(contents.size() + (1 << 16), '\0');
    std::size_t used = 0;
    const std::unique_ptr<archive, decltype(&archive_write_free)> tar(archive_write_new(),
                                                                      archive_write_free);
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                              archive_entry_free);
    archive_write_set_format_ustar(tar.get());
    REQUIRE(archive_write_add_filter(tar.get(), filter) == ARCHIVE_OK);
    REQUIRE(archive_write_open_memory(tar.get(), bytes.data(), bytes.size(), &used) == ARCHIVE_OK);
    archive_entry_set_pathname(entry.get(), "file");
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(contents.size()));
    REQUIRE(archive_write_header(tar.get(), entry.get()) == ARCHIVE_OK);
    REQUIRE(archive_write_data(tar.get(), contents.data(), contents.size()) ==
            static_cast<la_ssize_t>(contents.size()));
    REQUIRE(archive_write_close(tar.get()) == ARCHIVE_OK);
    bytes.resize(used);
    return bytes;
}

}  // namespace prebake::test
