#pragma once

#include <boost/json/memory_resource.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/oci/digest.h"

namespace prebake::oci {

class JsonDocument;

/// A value of a JsonDocument, or a member that is not there. Reading it as another type throws
/// Error corrupt that names the field, its line and its column; more elements than the limit,
/// too_large. Valid as long as its document.
class JsonField {
  public:
    /// False for null, too.
    bool is_there() const { return value_ != nullptr && !value_->is_null(); }

    JsonField member(std::string_view name) const;
    /// True also for a member that is null.
    bool has(std::string_view name) const;
    std::vector<JsonField> members(std::size_t maximum) const;
    std::vector<JsonField> elements(std::size_t maximum) const;
    /// The name of a member, the last part of its path.
    const std::string& name() const { return name_; }

    std::string text() const;
    std::int64_t integer() const;
    bool flag() const;
    /// @throws Error corrupt also if it is empty or not there; unsupported as Digest::parse().
    Digest digest() const;
    std::vector<std::string> texts() const;
    std::map<std::string, std::string> text_map(std::size_t maximum) const;
    /// Also for a member that is not there.
    void require_object() const;
    /// RFC 3339, as Go's time.Time.
    void require_time() const;

    /// Throws Error with this field and its place in front of `reason`: "is missing".
    [[noreturn]] void refuse(const std::string& reason, Errc code = Errc::corrupt) const;
    void limit(std::string_view what, std::size_t actual, std::size_t maximum) const;

  private:
    friend class JsonDocument;
    JsonField(const JsonDocument& document, const boost::json::value* value, std::string path,
              std::string name)
        : document_(&document), value_(value), path_(std::move(path)), name_(std::move(name)) {}

    [[noreturn]] void refuse_type(std::string_view wanted) const;
    const boost::json::object* object() const;

    const JsonDocument* document_;
    const boost::json::value* value_;  ///< null: not there
    std::string path_;
    std::string name_;
};

/// A JSON document as containerd reads it, with Go's encoding/json: names match in any case; of
/// members with one name the last counts; null and a member that is not there are the empty value;
/// unknown members are ignored; what is not UTF-8 becomes U+FFFD.
class JsonDocument {
  public:
    /// `text` must live longer. @throws Error corrupt for malformed JSON, with line, column and the
    /// field around it, and for what is not an object; too_large over `max_bytes`, or if it needs
    /// too much memory.
    JsonDocument(std::string_view text, std::size_t max_bytes);
    // Fields point into it.
    JsonDocument(const JsonDocument&) = delete;
    JsonDocument& operator=(const JsonDocument&) = delete;
    ~JsonDocument() = default;

    JsonField root() const { return {*this, &root_, "", ""}; }

  private:
    friend class JsonField;

    /// The default memory, up to a limit.
    class LimitedMemory final : public boost::json::memory_resource {
        void* do_allocate(std::size_t bytes, std::size_t alignment) override;
        void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override;
        bool do_is_equal(const memory_resource& other) const noexcept override {
            return this == &other;
        }

        boost::json::storage_ptr upstream_;
        std::size_t used_ = 0;
    };

    boost::json::value parse(std::string_view text, std::size_t max_bytes);

    LimitedMemory memory_;
    std::string_view text_;
    boost::json::value root_;
};

}  // namespace prebake::oci
