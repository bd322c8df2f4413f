#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/stream.h"

namespace prebake::tests {

/// A Source of bytes in memory that may fail at its end.
class BytesSource final : public Source {
  public:
    explicit BytesSource(std::string bytes, std::optional<Error> failure = {})
        : bytes_(std::move(bytes)), failure_(std::move(failure)) {}
    std::size_t read(std::span<std::byte> buffer) override {
        const std::size_t count = std::min(buffer.size(), bytes_.size() - at_);
        if (count == 0 && failure_) throw Error(*failure_);
        std::memcpy(buffer.data(), bytes_.data() + at_, count);
        at_ += count;
        return count;
    }

  private:
    std::string bytes_;
    std::optional<Error> failure_;
    std::size_t at_ = 0;
};

}  // namespace prebake::tests
