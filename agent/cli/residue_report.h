#pragma once

#include "proto/prebake/v1/identity.pb.h"

namespace prebake::cli {

/// Prints the residue as a table, and a last line with the verdict. If `quiet`, only residue.
void print_residue(const v1::ResidueReport& report, bool quiet);

}  // namespace prebake::cli
