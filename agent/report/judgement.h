#pragma once

#include <string>

namespace prebake::report {

inline constexpr const char* kTrue = "True";
inline constexpr const char* kFalse = "False";
inline constexpr const char* kUnknown = "Unknown";
inline constexpr const char* kNotApplicable = "NotApplicable";

/// What a condition says: fields of v1::Condition.
struct Judgement {
    std::string status;  ///< one of the words above
    std::string reason;
    std::string message;
    std::string next_step = {};
};

}  // namespace prebake::report
