#pragma once

#include <string>

namespace prebake::test {

/// A tar of one file with these contents, run through a filter of libarchive (ARCHIVE_FILTER_*).
std::string tar_of(const std::string& contents, int filter);

}  // namespace prebake::test
