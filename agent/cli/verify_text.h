#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "agent/guard/image_health.h"
#include "agent/store/verify.h"

namespace prebake::cli {

struct VerifyMode {
    bool is_deep = false;
    bool is_repaired = false;  ///< what is found is what a repair has left
};

/// "ok", "degraded" or "not_ready".
std::string verdict_word(guard::StoreVerdict verdict);

/// What was found, image by image, for people. Of a few images the findings are shown, for more
/// than five images only their number: an emptied store has hundreds. Empty if nothing was found.
/// Pure.
std::string findings_text(const store::Verification& result, const VerifyMode& mode = {});

/// The snapshots that could not be compared with their layers, one line for each reason. Pure.
std::vector<std::string> uncompared_text(const store::Verification& result);

/// The last line: "ok: …", "DEGRADED: …" or "NOT OK: …". `residue` is what of the builder was
/// found, `repaired` the number of findings that are repaired. Pure.
std::string verdict_text(const store::Verification& result, guard::StoreVerdict verdict,
                         std::size_t residue, std::size_t repaired = 0);

}  // namespace prebake::cli
