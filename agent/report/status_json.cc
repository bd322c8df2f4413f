#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>

#include "agent/base/format.h"
#include "agent/base/json.h"
#include "agent/report/image_order.h"
#include "agent/report/status_format.h"

namespace prebake::report {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

/// Applies `edit` to every string in a document.
template <typename Edit>
void edit_texts(Message& message, const Edit& edit) {
    const auto& reflection = *message.GetReflection();
    std::vector<const FieldDescriptor*> fields;
    reflection.ListFields(message, &fields);
    for (const FieldDescriptor* field : fields) {
        const int size = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
        for (int i = 0; i < size; ++i) {
            if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
                if (field->is_repeated()) {
                    reflection.SetRepeatedString(
                        &message, field, i, edit(reflection.GetRepeatedString(message, field, i)));
                } else {
                    reflection.SetString(&message, field,
                                         edit(reflection.GetString(message, field)));
                }
            } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
                edit_texts(field->is_repeated()
                               ? *reflection.MutableRepeatedMessage(&message, field, i)
                               : *reflection.MutableMessage(&message, field),
                           edit);
            }
        }
    }
}

void cut_texts(Message& message, std::size_t limit) {
    edit_texts(message, [&](const std::string& text) { return shorten(text, limit); });
}

std::size_t size_of(const std::string& text) {
    return text.size();
}
std::size_t size_of(const Message& message) {
    return to_json(message, JsonForm::line).size();
}

/// Removes elements from the end of `list`, a field of a document of `size` bytes, until the size
/// is below `limit` or `may_go` returns false. Returns the new size.
template <typename List, typename MayGo>
std::size_t drop_last(List& list, std::size_t size, std::size_t limit, const MayGo& may_go) {
    while (size >= limit && !list.empty() && may_go(*list.rbegin())) {
        const std::size_t comma = list.size() > 1 ? 1 : 0;
        size -= size_of(*list.rbegin()) + comma;
        list.RemoveLast();
    }
    return size;
}

}  // namespace

std::string status_json(v1::NodeStatus status, std::size_t limit) {
    edit_texts(status, [](const std::string& text) { return printable(text); });
    auto& images = *status.mutable_images();
    std::stable_sort(images.begin(), images.end(), comes_first);
    const auto total = std::max(status.images_total(), static_cast<std::uint32_t>(images.size()));
    status.set_images_total(total);
    const auto repairs = static_cast<std::uint32_t>(status.repairs_size());
    status.set_repairs_total(std::max(status.repairs_total(), repairs));
    status.set_truncated(static_cast<std::uint32_t>(images.size()) < total);
    std::string json = to_json(status, JsonForm::line);
    if (json.size() < limit) return json;

    const auto is_well = [](const v1::ImageState& image) { return !has_problem(image); };
    const auto any = [](const auto&) { return true; };
    // No single text may displace the rest. If dropping list entries is not enough, texts are
    // shortened further.
    for (const std::size_t text_limit : {limit / 12, limit / 60, limit / 240, limit / 1000}) {
        cut_texts(status, std::max<std::size_t>(text_limit, 16));
        std::size_t size = to_json(status, JsonForm::line).size();
        size = drop_last(images, size, limit, is_well);
        size = drop_last(*status.mutable_repairs(), size, limit, any);
        size = drop_last(*status.mutable_warnings(), size, limit, any);
        if (size >= limit && text_limit > limit / 60) continue;  // texts before problems
        drop_last(images, size, limit, any);
        status.set_truncated(static_cast<std::uint32_t>(images.size()) < total);
        json = to_json(status, JsonForm::line);
        if (json.size() < limit) break;
    }
    return json;
}

}  // namespace prebake::report
