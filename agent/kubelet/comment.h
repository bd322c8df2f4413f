#pragma once

#include <string>

namespace prebake::kubelet {

/// `text` in lines of less than 100 columns that start with "# ". Pure.
std::string comment_of(const std::string& text);

}  // namespace prebake::kubelet
