#pragma once

#include <span>
#include <string_view>

namespace prebake::cli {

/// A library of others that is part of this program: its archive is linked into it, its headers are
/// compiled into it, or its shared library comes in the same package. Such a library is
/// updated with a new version of prebake.
struct LinkedLibrary {
    std::string_view name;
    std::string_view version;  ///< of its authors
    std::string_view license;  ///< SPDX expression
    std::string_view source;   ///< source package of the distribution, with its version
};

/// In the order of names. Empty if prebake was built on a system without dpkg. The build writes the
/// list (packaging/linked.cmake).
std::span<const LinkedLibrary> linked_libraries();

}  // namespace prebake::cli
