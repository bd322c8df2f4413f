#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "agent/layer/tar_entry.h"

namespace prebake::layer {

/// The records of one PAX extended header. Of several with one keyword, the last.
using PaxRecords = std::map<std::string, std::string, std::less<>>;

/// Pairs GNU.sparse.offset and GNU.sparse.numbytes (sparse format 0.0) become one record
/// GNU.sparse.map, as format 0.1 has it. @throws Error corrupt, as Go's archive/tar.
PaxRecords parse_pax_records(std::string_view body);

/// The value of a record, empty if there is none: an empty record leaves the header's value.
std::string_view pax_value(const PaxRecords& records, std::string_view keyword);

/// Puts the records over what the header said, and fills the xattrs. @throws Error corrupt for a
/// number or time that is none.
void apply_pax_records(const PaxRecords& records, TarEntry& entry);

}  // namespace prebake::layer
