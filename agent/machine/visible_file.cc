#include "agent/machine/visible_file.h"

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/text.h"

namespace prebake::machine {
namespace {

constexpr std::size_t kMaxBytes = 4096;

}  // namespace

std::string visible_text(const Root& root, std::string_view path) {
    try {
        const std::string place = root.resolved(path, LastLink::follow);
        return std::string(trimmed(read_file(root.outside(place), kMaxBytes)));
    } catch (const Error&) {
        return {};  // readable only by root, or missing on this kernel
    }
}

}  // namespace prebake::machine
