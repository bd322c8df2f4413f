#include "agent/ledger/ledger_file.h"

#include <cstdio>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/json.h"
#include "agent/base/set_aside.h"

namespace prebake::ledger {
namespace {

constexpr const char* kSchema = "prebake.v1.Ledger";
/// The largest file that prebake writes (a thousand images, eight thousand starts, all layers) is
/// smaller than 4 MiB.
constexpr std::size_t kMaxLedgerBytes = 8UL << 20;

v1::LedgerState parse_ledger(const std::string& json, const std::string& origin) {
    v1::LedgerState ledger;
    try {
        from_json(json, ledger, origin, "");
    } catch (const Error&) {
        // A later version may have changed the types of fields. The schema is looked up only now,
        // because reading the document as a tree takes memory that the daemon would keep.
        refuse_later_schema(schema_in(json), origin, "");
        throw;
    }
    refuse_later_schema(ledger.schema(), origin, "");
    if (ledger.schema() != kSchema) throw Error(Errc::corrupt, origin + " is not a ledger");
    return ledger;
}

}  // namespace

std::filesystem::path ledger_path(const std::filesystem::path& state_dir) {
    return state_dir / "ledger.json";
}

v1::LedgerState read_ledger(const std::filesystem::path& state_dir, std::string& warning) {
    const std::filesystem::path path = ledger_path(state_dir);
    try {
        return parse_ledger(read_file(path, kMaxLedgerBytes), path.string());
    } catch (const Error& error) {
        if (error.code() == Errc::not_found) return {};
        const auto aside = set_aside(path, error);
        if (!aside) throw;
        warning = error.message() + "; it was renamed to " + aside->filename().string() +
                  ", and the counts start from zero";
    }
    return {};
}

void write_ledger(const std::filesystem::path& state_dir, v1::LedgerState ledger) {
    ledger.set_schema(kSchema);
    write_file_durably(ledger_path(state_dir), to_json(ledger, JsonForm::line) + "\n", 0644);
}

}  // namespace prebake::ledger
