#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "agent/identity/secrets/byte_source.h"

namespace prebake::identity::secrets {

/// Whether a file that begins so is compressed with gzip (RFC 1952).
bool is_gzip(std::string_view beginning);

/// What gzip(1) makes of a compressed file, of all its members. Bytes that are not gzip (behind the
/// last member, or from a damage on) are passed on as they are: something may be in them.
class GunzippedBytes : public ByteSource {
  public:
    /// A file that has expanded more than kMaxRatio times and to more than kFreeBytes is not read
    /// to its end: it holds nearly nothing, and would take the time that the other files need.
    static constexpr std::uint64_t kMaxRatio = 200;
    static constexpr std::uint64_t kFreeBytes = 16UL << 20;

    /// Does not own `compressed`.
    explicit GunzippedBytes(ByteSource& compressed);
    ~GunzippedBytes() override;
    GunzippedBytes(const GunzippedBytes&) = delete;
    GunzippedBytes& operator=(const GunzippedBytes&) = delete;

    std::size_t read(char* to, std::size_t size) override;
    void rewind() override;

    /// After the last byte: a member was damaged, or not complete.
    bool is_damaged() const { return is_damaged_; }
    /// After the last byte: the file was not read to its end.
    bool expands_too_much() const { return expands_too_much_; }

  private:
    bool refill();
    std::size_t pass_on(char* to, std::size_t size);
    void end_member();

    ByteSource& compressed_;
    std::vector<char> input_;
    z_stream stream_{};
    std::uint64_t taken_ = 0;     ///< compressed bytes
    std::uint64_t expanded_ = 0;  ///< what they became
    bool is_in_member_ = true;
    bool is_raw_ = false;  ///< what follows is not gzip
    bool is_damaged_ = false;
    bool expands_too_much_ = false;
};

}  // namespace prebake::identity::secrets
