#pragma once

#include <string>

#include "agent/ledger/accounts.h"
#include "agent/ledger/catalog.h"
#include "agent/ledger/ledger_book.h"
#include "proto/prebake/v1/node.pb.h"

/// What became of the baked images. Pure. An image that was baked under two tags stands for both:
/// its starts are counted for the first, and the second is no dead weight.
namespace prebake::ledger {

/// The ledger with `never_used`, the largest first.
v1::Ledger report_of(const LedgerBook& book, const Catalog& catalog);

Accounts::Usage usage_of(const LedgerBook& book, const Catalog& catalog, const std::string& ns,
                         const std::string& name);

}  // namespace prebake::ledger
