#include "agent/ledger/start_class.h"

namespace prebake::ledger {

StartClass classify(const StartFacts& facts) {
    if (facts.is_baked_image && !facts.has_pulled_layer) return StartClass::hit;
    return facts.baked_bytes > 0 ? StartClass::partial : StartClass::miss;
}

}  // namespace prebake::ledger
