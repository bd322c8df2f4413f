#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/secrets/byte_source.h"

namespace prebake::identity::secrets {

enum class ByteOrder { little, big };

/// The order of a text in UTF-16 that begins so: by its byte order mark, or because nearly every
/// second byte is zero and the others are characters of ASCII. Nothing if it does not look like
/// UTF-16.
std::optional<ByteOrder> utf16_order(std::string_view beginning);

/// Text in UTF-16 as UTF-8. Halves of surrogate pairs that stand alone become U+FFFD.
class Utf16AsUtf8 : public ByteSource {
  public:
    /// Does not own `utf16`.
    Utf16AsUtf8(ByteSource& utf16, ByteOrder order);

    std::size_t read(char* to, std::size_t size) override;
    void rewind() override;

  private:
    bool convert();
    void append(char32_t unit);

    ByteSource& utf16_;
    const ByteOrder order_;
    std::vector<char> input_;
    std::size_t filled_ = 0;  ///< of the input: half a character, between two reads
    std::string output_;
    std::size_t taken_ = 0;  ///< of the output
    char32_t high_ = 0;      ///< the first half of a pair
};

}  // namespace prebake::identity::secrets
