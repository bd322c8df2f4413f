#include "agent/base/json_numbers.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <system_error>
#include <utility>

namespace prebake {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr std::int64_t kMostExact = std::int64_t{1} << 53;

bool is_long(const FieldDescriptor* field) {
    return field != nullptr && (field->cpp_type() == FieldDescriptor::CPPTYPE_INT64 ||
                                field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64);
}

bool is_exact(std::string_view digits) {
    std::int64_t number = 0;
    const char* const end = digits.data() + digits.size();
    const auto [rest, problem] = std::from_chars(digits.data(), end, number);
    return problem == std::errc() && rest == end && number <= kMostExact && number >= -kMostExact;
}

const FieldDescriptor* field_named(const Descriptor* message, std::string_view name) {
    if (message == nullptr) return nullptr;
    for (int i = 0; i < message->field_count(); ++i) {
        if (message->field(i)->json_name() == name) return message->field(i);
    }
    return nullptr;
}

/// Copies the text of protobuf, which is valid JSON, value by value.
class Copy {
  public:
    explicit Copy(std::string_view json) : rest_(json) { out_.reserve(json.size()); }

    std::string run(const Descriptor& message) {
        value(&message, nullptr);
        out_ += rest_;
        return std::move(out_);
    }

  private:
    /// `message` describes an object, `field` anything else; null if it is not known.
    void value(const Descriptor* message, const FieldDescriptor* field) {
        blanks();
        if (rest_.starts_with('{')) return object(message);
        if (rest_.starts_with('[')) return array(message, field);
        if (!rest_.starts_with('"')) return take(rest_.find_first_of(",]} \n"));
        const std::size_t length = string_length();
        const std::string_view inside = rest_.substr(1, length - 2);
        if (!is_long(field) || !is_exact(inside)) return take(length);
        out_ += inside;
        rest_.remove_prefix(length);
    }

    void object(const Descriptor* message) {
        take(1);
        for (blanks(); !rest_.empty() && rest_.front() != '}'; blanks()) {
            const std::size_t length = string_length();
            const FieldDescriptor* const field = field_named(message, rest_.substr(1, length - 2));
            take(length);
            blanks();
            take(1);  // the colon
            const bool is_message =
                field != nullptr && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
            value(is_message ? field->message_type() : nullptr, field);
            blanks();
            if (rest_.starts_with(',')) take(1);
        }
        take(1);
    }

    void array(const Descriptor* message, const FieldDescriptor* field) {
        take(1);
        for (blanks(); !rest_.empty() && rest_.front() != ']'; blanks()) {
            value(message, field);
            blanks();
            if (rest_.starts_with(',')) take(1);
        }
        take(1);
    }

    /// Of the string at the front, with its quotes.
    std::size_t string_length() const {
        std::size_t end = 1;
        while (end < rest_.size() && rest_[end] != '"') end += rest_[end] == '\\' ? 2 : 1;
        return std::min(end + 1, rest_.size());
    }

    void blanks() { take(std::min(rest_.find_first_not_of(" \n"), rest_.size())); }

    void take(std::size_t length) {
        out_ += rest_.substr(0, length);
        rest_.remove_prefix(std::min(length, rest_.size()));
    }

    std::string_view rest_;
    std::string out_;
};

}  // namespace

std::string with_plain_numbers(std::string_view json, const Descriptor& message) {
    return Copy(json).run(message);
}

}  // namespace prebake
