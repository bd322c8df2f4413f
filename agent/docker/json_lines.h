#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "agent/http/message.h"

namespace prebake::docker {

/// No line of a stream is longer: dockerd's have a few hundred bytes.
inline constexpr std::size_t kMaxLineBytes = 1UL << 20;

/// Reads a body line by line, each as soon as it is there.
class JsonLines {
  public:
    /// `response` must live longer.
    explicit JsonLines(http::Response& response) : response_(response) {}

    /// The next line that is not empty, without its end. Nothing at the end of the body.
    /// @throws Error too_large over kMaxLineBytes; what reading the response throws.
    std::optional<std::string> next();

  private:
    http::Response& response_;
    std::string text_;
    std::size_t begin_ = 0;   ///< of the next line in text_
    std::size_t looked_ = 0;  ///< up to here the line has no end
};

}  // namespace prebake::docker
