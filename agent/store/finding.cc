#include "agent/store/finding.h"

namespace prebake::store {

bool is_about_machine(FindingKind kind) {
    return kind == FindingKind::cri_other_platform || kind == FindingKind::pin_ignored;
}

bool concerns_everything(const Error& error) {
    return containerd::ends_session(error) || is_retryable(error.code());
}

}  // namespace prebake::store
