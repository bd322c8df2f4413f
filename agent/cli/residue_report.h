#pragma once

#include "proto/prebake/v1/identity.pb.h"

namespace prebake::cli {

/// The residue as a table and a last line with the verdict; only what is wrong if `quiet`.
void print_residue(const v1::ResidueReport& report, bool quiet);

}  // namespace prebake::cli
