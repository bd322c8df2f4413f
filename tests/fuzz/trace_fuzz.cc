// Traces come from canaries, through other people's hands. Whatever the text says: an error that
// says so, or a trace whose paths stay inside their layers, and that is the same after it was
// written and read again in either form.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "agent/base/error.h"
#include "agent/hydrate/trace.h"
#include "agent/hydrate/trace_merge.h"

namespace {

using prebake::Errc;
using prebake::Error;
using prebake::v1::ReadTrace;

std::optional<ReadTrace> trace_in(std::string_view text) {
    try {
        return prebake::hydrate::parse_trace(text, "trace.json");
    } catch (const Error& error) {
        const bool is_about_text = error.code() == Errc::corrupt ||
                                   error.code() == Errc::too_large ||
                                   error.code() == Errc::unsupported;
        if (!is_about_text) std::abort();
        return std::nullopt;
    }
}

void require_same(const ReadTrace& trace, std::string_view text) {
    const auto read = trace_in(text);
    if (!read || read->SerializeAsString() != trace.SerializeAsString()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto trace = trace_in({reinterpret_cast<const char*>(data), size});
    if (!trace) return 0;
    for (const auto& layer : trace->layers()) {
        for (const auto& file : layer.files()) {
            if (file.path().empty() || file.path().front() == '/') std::abort();
            if (file.path() == ".." || file.path().starts_with("../")) std::abort();
            if (file.path().find("/../") != std::string::npos) std::abort();
        }
    }
    require_same(*trace, prebake::hydrate::trace_json(*trace));
    constexpr std::size_t kEnough = 16UL << 20;
    require_same(*trace, prebake::hydrate::trace_text(*trace, kEnough));
    prebake::hydrate::merge_traces({{"a", *trace}, {"b", *trace}, {"c", *trace}});
    return 0;
}
