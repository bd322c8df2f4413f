#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/machine/root.h"

namespace prebake::identity {

/// One thing to do to one file so that it betrays nothing.
struct Change {
    enum class Kind {
        remove,    ///< the file, link or directory goes
        truncate,  ///< the file stays and is empty
        write,     ///< the file gets `contents`
    };
    Kind kind = Kind::remove;
    std::string path;      ///< inside the root
    std::string contents;  ///< of a write
};
using Changes = std::vector<Change>;

/// What of a pattern (see Root::match) must not stay.
struct Target {
    enum class What {
        file,      ///< each match is removed, a directory with all in it
        contents,  ///< each match is a directory that stays, all in it is removed
        bytes,     ///< each match is a regular file that stays and becomes empty
        all_bytes  ///< each match is a directory: every regular file below it becomes empty
    };
    What what;
    std::string_view pattern;
};

enum class MachineIdForm { empty, uninitialized };

/// What of the configuration an item's own rules may depend on.
struct ItemSettings {
    MachineIdForm machine_id = MachineIdForm::empty;

    bool operator==(const ItemSettings&) const = default;
};

/// Whether `prebake seal` works on an item unasked.
enum class Default {
    on,
    off,    ///< only if asked for
    report  ///< never: it is named when found, because removing it would break the machine
};

/// What first boot does on a machine that was cloned from a booted, unsealed one.
enum class OnClone {
    keep,  ///< the clone may need it (its users, its logs)
    renew  ///< it is removed, because it identifies the machine that was cloned, and comes back
};

/// An identity item: one thing that makes a host itself, or betrays it. Passive and
/// self-describing: the command line, the man page and the tests are made from these records.
struct Item {
    std::string_view name;  ///< "machine-id"; as --skip and --only take it
    int order = 0;          ///< items are worked on in rising order
    std::string_view why;   ///< what happens if two machines share it, in one sentence
    std::string_view back;  ///< how and by whom it comes back, in one sentence
    Default by_default = Default::on;
    OnClone on_clone = OnClone::keep;
    std::vector<Target> targets{};
    /// What patterns cannot say: further changes that are still necessary. Null if there is none.
    Changes (*further)(const machine::Root&, const ItemSettings&) = nullptr;
    std::string_view further_says{};  ///< what `further` does, for the list; empty without it
    /// Files whose contents identify the machine publicly. A salted hash of them is kept when they
    /// go, so that first boot can prove that the machine has other ones.
    std::vector<std::string_view> proofs{};
};

/// Every item, in the order of work. Names and orders are unique.
const std::vector<Item>& items();

}  // namespace prebake::identity
