#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace prebake::machine {
class Root;  // the tables need no more of it, and compile three times as fast
}

namespace prebake::identity {

/// Whether a change may be made in the directories of container images.
enum class InImageStore {
    refused,
    needless,  ///< for what an item has found no image to need
};

/// One change to one file.
struct Change {
    enum class Kind {
        remove,    ///< removes the file, the link, or the directory with everything in it
        truncate,  ///< makes the file empty and keeps it
        write,     ///< replaces the file's contents by `contents`
    };
    Kind kind = Kind::remove;
    std::string path;      ///< inside the root
    std::string contents;  ///< for Kind::write
    InImageStore in_image_store = InImageStore::refused;
    std::string note = {};  ///< what a report says besides: a size, the keys that are meant
};
using Changes = std::vector<Change>;

/// What must not stay of the files that a pattern (see machine::Root::match()) matches.
struct Target {
    enum class What {
        file,      ///< each match is removed; a directory with everything in it
        contents,  ///< each match is a directory that stays; everything in it is removed
        bytes,     ///< each match is a regular file that stays and becomes empty
        all_bytes  ///< each match is a directory: each regular file below it becomes empty
    };
    What what = What::file;
    std::string_view pattern;
};

/// When a unit is stopped before a seal: stage after stage, in this order.
enum class StopStage {
    prebake,        ///< our own units
    orchestrators,  ///< they start containers
    docker,         ///< only with `[seal] stop_docker`
    containerd,     ///< only with `[seal] stop_containerd`
    managers,       ///< they write back what was removed, and register the machine
    jobs,           ///< timers, and services that run jobs or fill caches
    daemons,        ///< they save state when they stop
    loggers,        ///< after everything that logs
    ssm_agent,      ///< last: a build may run over it
};
/// auditd refuses to be stopped (RefuseManualStop=).
enum class StopBy { stop, kill };

/// A systemd unit, or several: `name` is a pattern of fnmatch(3). A unit that starts another one (a
/// socket, a timer, a path) stands before it.
struct Unit {
    std::string_view name;
    StopStage stage = StopStage::daemons;
    StopBy by = StopBy::stop;
};

/// A list with a fixed capacity, so that a table of records can be constexpr. A list that is too
/// long does not compile (in a constexpr record), or throws std::out_of_range.
template <typename Value, std::size_t kCapacity>
class FixedList {
  public:
    constexpr FixedList() = default;
    constexpr FixedList(std::initializer_list<Value> values)
        : FixedList(std::span<const Value>(values.begin(), values.size())) {}
    constexpr explicit FixedList(std::span<const Value> values) {
        for (const Value& value : values) values_.at(size_++) = value;
    }

    constexpr const Value* begin() const { return values_.data(); }
    constexpr const Value* end() const { return values_.data() + size_; }
    constexpr const Value& operator[](std::size_t index) const { return values_[index]; }
    constexpr bool empty() const { return size_ == 0; }
    constexpr std::size_t size() const { return size_; }

  private:
    std::array<Value, kCapacity> values_{};
    std::size_t size_ = 0;
};

/// What /etc/machine-id becomes (machine-id(5)).
enum class MachineIdFormat { empty, uninitialized };

/// The configuration that rules of items depend on.
struct ItemSettings {
    MachineIdFormat machine_id = MachineIdFormat::empty;

    bool operator==(const ItemSettings&) const = default;
};

/// Whether `prebake seal` works on an item by default.
enum class Default {
    on,
    off,    ///< only if the user selects it
    report  ///< never: it is reported when found, because removing it would break the machine
};

/// What first boot does on a clone of a machine that was booted and not sealed.
enum class OnClone {
    keep,  ///< nothing: the clone may need it (its users, its logs)
    renew  ///< removes it, because it identifies the other machine, and it comes back
};

/// An identity item: one thing that identifies a host or exposes a secret of it. The command line,
/// the man page, the stop list of a seal and the tests are made from these records.
struct Item {
    std::string_view name;          ///< "machine-id"; what --skip and --only take
    std::string_view why;           ///< what happens if clones share it
    std::string_view regeneration;  ///< how it comes back, and what creates it
    Default by_default = Default::on;
    OnClone on_clone = OnClone::keep;
    FixedList<Target, 36> targets{};
    /// A file that a target covers and that another item judges. Empty: there is none.
    std::string_view of_another_item{};
    /// Changes that patterns cannot express, and that are still necessary. Null if there are none.
    Changes (*extra_changes)(const machine::Root&, const ItemSettings&) = nullptr;
    std::string_view extra_description{};  ///< what `extra_changes` does; empty without it
    /// Public files that identify the machine. The seal keeps salted hashes of them, so that first
    /// boot can prove that they changed.
    FixedList<std::string_view, 4> proofs{};
    /// Units that write these files while they run or when they stop. Each is stopped before the
    /// items are sealed.
    FixedList<Unit, 16> written_by{};
};

/// All items, in the order of work. Names are unique.
const std::vector<Item>& items();

}  // namespace prebake::identity
