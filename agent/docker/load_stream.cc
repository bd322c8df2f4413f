#include "agent/docker/load_stream.h"

#include "agent/base/text.h"

namespace prebake::docker {

void LoadStream::take(const StreamLine& line) {
    for (const std::string* const text : {&line.text, &line.status}) {
        const std::string lower = lower_case(*text);
        if (lower.starts_with("loaded image")) has_loaded_ = true;
        if (failure_.empty() && lower.starts_with("error unpacking image")) {
            failure_ = std::string(trimmed(*text));
        }
    }
}

}  // namespace prebake::docker
