#pragma once

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "tests/unit/base/thrown.h"

namespace prebake::tests {

/// thrown_by(); no part of the Error may hold the word SECRET, with which tests mark secrets.
template <typename Work>
Error error_of(Work&& work) {
    const Error error = thrown_by(std::forward<Work>(work));
    CHECK_MESSAGE(!contains(error.what(), "SECRET"), error.what());
    return error;
}

}  // namespace prebake::tests
