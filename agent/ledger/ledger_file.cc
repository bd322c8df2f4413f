#include "agent/ledger/ledger_file.h"

#include <cstdio>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/json.h"

namespace prebake::ledger {
namespace {

constexpr const char* kSchema = "prebake.v1.Ledger";
/// A thousand images, eight thousand starts and as many layers as are kept take less than 4 MiB;
/// what is larger was not written by us.
constexpr std::size_t kMaxLedgerBytes = 8UL << 20;

v1::Ledger parse_ledger(const std::string& json, const std::string& origin) {
    v1::Ledger ledger;
    try {
        from_json(json, ledger, origin, "");
    } catch (const Error&) {
        // Another version's fields need not be of our types. The whole document as a tree takes
        // memory that a daemon keeps: only now.
        refuse_later_schema(schema_in(json), origin, "");
        throw;
    }
    refuse_later_schema(ledger.schema(), origin, "");
    if (ledger.schema() != kSchema) throw Error(Errc::corrupt, origin + " is not a ledger");
    return ledger;
}

void set_aside(const std::filesystem::path& path, const std::filesystem::path& aside) {
    if (::rename(path.c_str(), aside.c_str()) != 0) throw errno_error("cannot rename", path);
}

}  // namespace

std::filesystem::path ledger_path(const std::filesystem::path& state_dir) {
    return state_dir / "ledger.json";
}

v1::Ledger read_ledger(const std::filesystem::path& state_dir, std::string& warning) {
    const std::filesystem::path path = ledger_path(state_dir);
    std::filesystem::path aside = path;
    try {
        return parse_ledger(read_file(path, kMaxLedgerBytes), path.string());
    } catch (const Error& error) {
        if (error.code() == Errc::not_found) return {};
        if (error.code() == Errc::unsupported) {
            aside += ".newer";
        } else if (error.code() == Errc::corrupt || error.code() == Errc::too_large) {
            aside += ".corrupt";
        } else {
            throw;
        }
        warning = error.message() + "; it is kept as " + aside.filename().string() +
                  ", and counting begins anew";
    }
    set_aside(path, aside);
    return {};
}

void write_ledger(const std::filesystem::path& state_dir, v1::Ledger ledger) {
    ledger.set_schema(kSchema);
    write_file_durably(ledger_path(state_dir), to_json(ledger, JsonForm::line) + "\n", 0644);
}

}  // namespace prebake::ledger
