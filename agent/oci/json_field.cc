#include "agent/oci/json_field.h"

#include <algorithm>
#include <boost/json.hpp>
#include <limits>
#include <utility>

#include "agent/base/ascii.h"
#include "agent/oci/json_text.h"

namespace prebake::oci {
namespace {

namespace json = boost::json;

/// Go allows 10,000, but each level takes stack here. Real documents have less than 20.
constexpr std::size_t kMaxDepth = 256;
/// "[0,0,0,..." needs two bytes per element in the document and 24 in memory: larger documents are
/// refused. The largest real manifests and configs need a tenth of it.
constexpr std::size_t kMaxMemory = 48UL << 20;
constexpr const char* kBuiltWrong = "the image was built wrong, or is damaged in its registry";

void require_limit(std::string_view what, std::size_t actual, std::size_t maximum) {
    if (actual <= maximum) return;
    throw Error(Errc::too_large, "it has " + std::to_string(actual) + " " + std::string(what) +
                                     ", allowed are " + std::to_string(maximum));
}

bool is_same_name(std::string_view one, std::string_view other) {
    return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                      [](char a, char b) { return to_lower(a) == to_lower(b); });
}

std::string_view kind_of(const json::value& value) {
    switch (value.kind()) {
        case json::kind::null:
            return "null";
        case json::kind::bool_:
            return "true or false";
        case json::kind::int64:
        case json::kind::uint64:
        case json::kind::double_:
            return "a number";
        case json::kind::string:
            return "a string";
        case json::kind::array:
            return "a list";
        case json::kind::object:
            return "an object";
    }
    return "";
}

/// A time as RFC 3339 writes it. Takes its parts from the front of a text.
class TimeText {
  public:
    explicit TimeText(std::string_view text) : rest_(text) {}

    bool is_valid() {
        const int year = number(4);
        const int month = take('-') ? number(2) : -1;
        const int day = take('-') ? number(2) : -1;
        const int hour = take('T') ? number(2) : -1;
        const int minute = take(':') ? number(2) : -1;
        const int second = take(':') ? number(2) : -1;
        if (year < 0 || month < 1 || month > 12 || day < 1 || day > days_in(year, month)) {
            return false;
        }
        return is_clock(hour, minute) && second >= 0 && second < 60 && skip_fraction() &&
               is_zone() && rest_.empty();
    }

  private:
    static int days_in(int year, int month) {
        const bool is_leap_year = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        if (month == 2) return is_leap_year ? 29 : 28;
        return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
    }
    static bool is_clock(int hour, int minute) {
        return hour >= 0 && hour < 24 && minute >= 0 && minute < 60;
    }

    bool is_zone() {
        if (take('Z')) return true;
        if (!take('+') && !take('-')) return false;
        const int hour = number(2);
        return take(':') && is_clock(hour, number(2));
    }
    bool skip_fraction() {
        if (!take('.')) return true;
        const std::size_t digits = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
        rest_.remove_prefix(digits);
        return digits > 0;
    }
    bool take(char c) {
        if (!rest_.starts_with(c)) return false;
        rest_.remove_prefix(1);
        return true;
    }
    /// -1 if there are no such digits.
    int number(std::size_t digits) {
        const std::string_view text = rest_.substr(0, digits);
        if (text.size() < digits || !std::all_of(text.begin(), text.end(), is_digit)) return -1;
        rest_.remove_prefix(digits);
        int value = 0;
        for (const char digit : text) value = value * 10 + (digit - '0');
        return value;
    }

    std::string_view rest_;
};

}  // namespace

// JsonField ---------------------------------------------------------------------------------------

void JsonField::refuse(const std::string& reason, Errc code) const {
    const std::string where = line_and_column(document_->text_, offset_of(document_->text_, path_));
    throw Error(code, (path_.empty() ? "it" : path_) + " " + reason + " (" + where + ")",
                code == Errc::corrupt ? kBuiltWrong : "");
}

void JsonField::refuse_type(std::string_view wanted) const {
    refuse("is " + std::string(kind_of(*value_)) + ", not " + std::string(wanted));
}

void JsonField::limit(std::string_view what, std::size_t actual, std::size_t maximum) const {
    if (actual <= maximum) return;
    refuse("has " + std::to_string(actual) + " " + std::string(what) + ", allowed are " +
               std::to_string(maximum),
           Errc::too_large);
}

const json::object* JsonField::object() const {
    if (!is_there()) return nullptr;
    const json::object* object = value_->if_object();
    if (object == nullptr) refuse_type("an object");
    return object;
}

JsonField JsonField::member(std::string_view name) const {
    const json::object* object = this->object();
    if (object != nullptr) {
        for (auto member = object->end(); member != object->begin();) {
            --member;
            const std::string_view key(member->key().data(), member->key().size());
            if (!is_same_name(key, name)) continue;
            return {*document_, &member->value(), member_path(path_, key), std::string(key)};
        }
    }
    return {*document_, nullptr, member_path(path_, name), std::string(name)};
}

bool JsonField::has(std::string_view name) const {
    return member(name).value_ != nullptr;
}

std::vector<JsonField> JsonField::members(std::size_t maximum) const {
    std::vector<JsonField> members;
    const json::object* object = this->object();
    if (object == nullptr) return members;
    limit("members", object->size(), maximum);
    members.reserve(object->size());
    for (const json::key_value_pair& member : *object) {
        const std::string_view key(member.key().data(), member.key().size());
        members.push_back(
            JsonField(*document_, &member.value(), member_path(path_, key), valid_utf8(key)));
    }
    return members;
}

std::vector<JsonField> JsonField::elements(std::size_t maximum) const {
    std::vector<JsonField> elements;
    if (!is_there()) return elements;
    const json::array* array = value_->if_array();
    if (array == nullptr) refuse_type("a list");
    limit("elements", array->size(), maximum);
    elements.reserve(array->size());
    for (const json::value& element : *array) {
        elements.push_back(
            JsonField(*document_, &element, element_path(path_, elements.size()), ""));
    }
    return elements;
}

std::string JsonField::text() const {
    if (!is_there()) return {};
    const json::string* text = value_->if_string();
    if (text == nullptr) refuse_type("a string");
    return valid_utf8({text->data(), text->size()});
}

std::int64_t JsonField::integer() const {
    if (!is_there()) return 0;
    const std::int64_t* number = value_->if_int64();
    if (number != nullptr) return *number;
    if (value_->is_number()) refuse("is not a whole number of 64 bits");
    refuse_type("a whole number");
}

bool JsonField::flag() const {
    if (!is_there()) return false;
    const bool* flag = value_->if_bool();
    if (flag == nullptr) refuse_type("true or false");
    return *flag;
}

Digest JsonField::digest() const {
    const std::string text = this->text();
    if (text.empty()) refuse(is_there() ? "is empty" : "is missing");
    try {
        return Digest::parse(text);
    } catch (const Error& error) {
        // The parser assumes that the user wrote the digest; this one is from the registry.
        refuse("cannot be used: " + error.message(),
               error.code() == Errc::usage ? Errc::corrupt : error.code());
    }
}

std::vector<std::string> JsonField::texts() const {
    std::vector<std::string> texts;
    for (const JsonField& element : elements(std::numeric_limits<std::size_t>::max())) {
        texts.push_back(element.text());
    }
    return texts;
}

std::map<std::string, std::string> JsonField::text_map(std::size_t maximum) const {
    std::map<std::string, std::string> map;
    for (const JsonField& member : members(maximum)) {
        map.insert_or_assign(member.name(), member.text());
    }
    return map;
}

void JsonField::require_object() const {
    object();
}

void JsonField::require_time() const {
    if (!is_there()) return;
    if (!TimeText(text()).is_valid()) {
        refuse("is not a time as RFC 3339 has it (2026-01-31T08:00:00Z)");
    }
}

// JsonDocument ------------------------------------------------------------------------------------

JsonDocument::JsonDocument(std::string_view text, std::size_t max_bytes)
    : text_(text), root_(parse(text, max_bytes)) {
    if (!root_.is_object()) root().refuse_type("an object");
}

json::value JsonDocument::parse(std::string_view text, std::size_t max_bytes) {
    require_limit("bytes", text.size(), max_bytes);
    const std::optional<std::string> repaired = without_lone_surrogates(text);
    if (repaired) text = *repaired;
    json::parse_options options;
    options.max_depth = kMaxDepth;
    options.allow_invalid_utf8 = true;
    json::parser parser(&memory_, options);
    parser.reset(&memory_);
    json::error_code error;
    const std::size_t offset = parser.write(text.data(), text.size(), error);
    if (!error) return parser.release();
    const std::string path = path_at(text, offset + 1);  // with the character that is wrong
    throw Error(Errc::corrupt,
                "its JSON is malformed at " + line_and_column(text, offset) +
                    (path.empty() ? "" : ", in " + path) + ": " + error.message(),
                kBuiltWrong);
}

void* JsonDocument::LimitedMemory::do_allocate(std::size_t bytes, std::size_t alignment) {
    require_limit("bytes of parsed JSON", used_ + bytes, kMaxMemory);
    void* memory = upstream_->allocate(bytes, alignment);
    used_ += bytes;
    return memory;
}

void JsonDocument::LimitedMemory::do_deallocate(void* memory, std::size_t bytes,
                                                std::size_t alignment) {
    upstream_->deallocate(memory, bytes, alignment);
    used_ -= bytes;
}

}  // namespace prebake::oci
