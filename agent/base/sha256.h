#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "agent/base/stream.h"

namespace prebake {

using Sha256Hash = std::array<std::byte, 32>;

/// A running SHA-256 (FIPS 180-4), computed by OpenSSL.
class Sha256 {
  public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;
    Sha256(const Sha256&) = delete;
    Sha256& operator=(const Sha256&) = delete;

    void update(std::span<const std::byte> bytes);
    void update(std::string_view bytes);
    /// The hash of all bytes so far. Call once, at the end.
    Sha256Hash finish();

  private:
    struct Context;
    std::unique_ptr<Context> context_;
};

/// The hash of the rest of `source`. Calls `on_read` with the number of bytes after each read; it
/// may throw to end the work.
Sha256Hash sha256(Source& source, const std::function<void(std::size_t)>& on_read);
/// The hash of `bytes`.
Sha256Hash sha256(std::string_view bytes);
/// The hash of `bytes` as 64 lower-case hex digits.
std::string sha256_hex(std::string_view bytes);

}  // namespace prebake
