#include "agent/store/sandbox.h"

#include "agent/base/error.h"
#include "agent/oci/reference.h"

namespace prebake::store {

std::string sandbox_name(const std::string& reported, const std::string& configured) {
    const std::string& name = reported.empty() ? configured : reported;
    if (name.empty()) return name;
    try {
        const oci::Reference reference = oci::Reference::parse(name);
        if (auto tag_name = reference.tag_name(); tag_name && !reference.digest) return *tag_name;
        return reference.digest ? reference.name() + "@" + reference.digest->str() : name;
    } catch (const Error&) {
        return name;
    }
}

}  // namespace prebake::store
