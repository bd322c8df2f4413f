// A payload or a bundle is either refused with a reason, or it signs the subject and nothing else.
// The input is a line, "payload" or "bundle", and the document.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/trust/signature.h"

namespace {

using prebake::trust::Signature;
using prebake::trust::Subject;

/// The seeds are about it.
constexpr std::string_view kSubjectBytes = R"({"schemaVersion":2})";

void require(bool condition) {
    if (!condition) std::abort();
}

Signature read(std::string_view kind, std::string_view document, const Subject& subject) {
    if (kind == "bundle") return prebake::trust::read_bundle(document, subject);
    return prebake::trust::read_simple_signing(std::string(document), "Ynl0ZXM=");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return 0;
    const Subject subject{.digest = prebake::oci::Digest::of(kSubjectBytes),
                          .bytes = kSubjectBytes};
    try {
        const Signature signature = read(text.substr(0, end), text.substr(end + 1), subject);
        require(!signature.bytes.empty());
        if (signature.statement) {
            require(signature.message.ends_with(*signature.statement));
        } else {
            require(signature.message == kSubjectBytes);
        }
        prebake::trust::require_subject(signature, subject);
        // JSON may write each character as an escape, and the seeds do not.
        require(!signature.statement ||
                signature.statement->find(subject.digest.hex()) != std::string::npos ||
                signature.statement->find("\\u") != std::string::npos);
    } catch (const prebake::Error& error) {
        require(!error.message().empty());
        require(!prebake::is_retryable(error.code()));
    }
    return 0;
}
