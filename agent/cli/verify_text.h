#pragma once

#include <cstddef>
#include <string>

#include "agent/store/verify.h"

namespace prebake::cli {

/// What was found, image by image, for people. Of a few images the findings are shown, of many only
/// their numbers: an emptied store has hundreds. Empty if nothing was found. Pure.
std::string findings_text(const store::Verification& result);

/// The last line: "ok: …" or "NOT OK: …". `residue` is what of the builder was found, `repaired`
/// the number of findings that are repaired. Pure.
std::string verdict_text(const store::Verification& result, std::size_t residue,
                         std::size_t repaired = 0);

}  // namespace prebake::cli
