#include "agent/identity/items/builder_names.h"

#include <algorithm>

#include "agent/base/text.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/root.h"
#include "agent/machine/text_format.h"

namespace prebake::identity {
namespace {

/// Amazon EC2 instance hostname types: "ip-" and four numbers, or the instance's ID.
bool is_made_by_a_cloud(std::string_view label) {
    if (machine::is_ec2_instance_id(label)) return true;
    if (!label.starts_with("ip-")) return false;
    const std::string_view address = label.substr(3);
    return std::count(address.begin(), address.end(), '-') == 3 &&
           address.find_first_not_of("0123456789-") == std::string_view::npos;
}

}  // namespace

std::string_view first_label(std::string_view name) {
    return name.substr(0, name.find('.'));
}

std::vector<std::string> builder_names(const machine::Root& root) {
    std::vector<std::string> names;
    for (const char* const path : {"/etc/hostname", "/var/lib/cloud/data/previous-hostname"}) {
        const std::string text = root.read(path, kMaxTextBytes).value_or("");
        for (const std::string_view line : lines_of(text)) {
            const std::vector<std::string_view> words = words_of(line);
            if (!words.empty() && lower_case(first_label(words.front())) != "localhost")
                names.push_back(lower_case(words.front()));
        }
    }
    return names;
}

bool names_builder(std::string_view name, const std::vector<std::string>& names) {
    const std::string lower = lower_case(name);
    return is_made_by_a_cloud(first_label(lower)) ||
           std::any_of(names.begin(), names.end(), [&lower](const std::string& own) {
               // Two full names must be equal: db.a.example is not db.b.example.
               const bool is_full = own.find('.') != std::string::npos;
               return lower == own || lower == first_label(own) ||
                      (!is_full && lower.starts_with(own + "."));
           });
}

}  // namespace prebake::identity
