#include "agent/base/stream.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace prebake {
namespace {

class TextSource : public Source {
  public:
    explicit TextSource(std::string text) : text_(std::move(text)) {}

    std::size_t read(std::span<std::byte> buffer) override {
        const std::size_t count = std::min(buffer.size(), text_.size() - position_);
        std::memcpy(buffer.data(), text_.data() + position_, count);
        position_ += count;
        return count;
    }

  private:
    std::string text_;
    std::size_t position_ = 0;
};

TEST_CASE("a source is read up to a limit") {
    const auto read = [](std::size_t size, std::size_t limit) {
        TextSource source(std::string(size, 'x'));
        const auto text = read_up_to(source, limit);
        return text ? static_cast<int>(text->size()) : -1;
    };
    CHECK(read(0, 0) == 0);
    CHECK(read(1, 0) == -1);
    CHECK(read(100'000, 100'000) == 100'000);
    CHECK(read(100'001, 100'000) == -1);
}

}  // namespace
}  // namespace prebake
