#include "agent/base/text.h"
#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/root.h"

namespace prebake::identity {

Changes popularity_contest_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    // The package's own script adds the line if it is missing, for images.
    strip_lines(
        root, "/etc/popularity-contest.conf",
        [](std::string_view line) { return trimmed(line).starts_with("MY_HOSTID="); }, changes);
    return changes;
}

}  // namespace prebake::identity
