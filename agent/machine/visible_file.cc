#include "agent/machine/visible_file.h"

#include "agent/base/error.h"
#include "agent/base/text.h"

namespace prebake::machine {
namespace {

constexpr std::size_t kMaxBytes = 4096;

}  // namespace

std::string visible_text(const Root& root, std::string_view path) {
    try {
        return std::string(trimmed(root.read_as_mounted(path, kMaxBytes).value_or("")));
    } catch (const Error&) {
        return {};  // readable only by root, or missing on this kernel
    }
}

}  // namespace prebake::machine
