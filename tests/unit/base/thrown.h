#pragma once

#include <doctest/doctest.h>

#include <optional>
#include <utility>

#include "agent/base/error.h"

namespace prebake::tests {

/// The Error that `work` throws; the test case fails and ends if it throws none.
template <typename Work>
Error thrown_by(Work&& work) {
    std::optional<Error> thrown;
    try {
        std::forward<Work>(work)();
    } catch (const Error& error) {
        thrown = error;
    }
    REQUIRE_MESSAGE(thrown.has_value(), "no Error was thrown");
    return *thrown;
}

inline bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

}  // namespace prebake::tests

namespace prebake {

/// How doctest prints a code.
inline doctest::String toString(Errc code) {
    return doctest::String(to_string(code).data());
}

}  // namespace prebake
