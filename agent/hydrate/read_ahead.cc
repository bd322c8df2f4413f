#include "agent/hydrate/read_ahead.h"

#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "agent/base/ascii.h"
#include "agent/base/boot.h"
#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/text.h"
#include "agent/hydrate/disk.h"

namespace prebake::hydrate {
namespace {

constexpr std::size_t kMaxNoteBytes = 64UL << 10;
constexpr std::size_t kMaxValueBytes = 64;

/// Device ("8:0") -> KiB.
using Values = std::map<std::string, std::string>;

std::filesystem::path note_path(const ReadAheadPlaces& places) {
    return places.runtime / "read-ahead";
}

std::filesystem::path lock_path(const ReadAheadPlaces& places) {
    return places.runtime / "read-ahead.lock";
}

std::filesystem::path setting_of(const ReadAheadPlaces& places, const std::string& device) {
    return places.sys / "class/bdi" / device / "read_ahead_kb";
}

bool is_number(std::string_view text) {
    if (text.empty() || text.size() > 10) return false;
    for (const char c : text) {
        if (!is_digit(c)) return false;
    }
    return true;
}

bool is_device(std::string_view text) {
    const std::size_t colon = text.find(':');
    return colon != std::string_view::npos && is_number(text.substr(0, colon)) &&
           is_number(text.substr(colon + 1));
}

/// Lines of a device and its value, after one with the boot.
std::string note_of(const Values& values) {
    std::string text = read_boot_id() + "\n";
    for (const auto& [device, value] : values)
        text.append(device).append(" ").append(value) += '\n';
    return text;
}

/// Nothing if it is of another boot.
Values values_in(std::string_view note, const std::filesystem::path& path) {
    const std::vector<std::string_view> lines = lines_of(note);
    Values values;
    if (lines.empty() || lines.front() != read_boot_id()) return values;
    for (std::size_t i = 1; i < lines.size(); ++i) {
        const std::size_t space = lines[i].find(' ');
        const std::string_view device = lines[i].substr(0, space);
        const std::string_view value =
            space == std::string_view::npos ? std::string_view() : lines[i].substr(space + 1);
        if (!is_device(device) || !is_number(value)) {
            throw Error(
                Errc::corrupt,
                path.string() + " is not a note of read-ahead: line " + std::to_string(i + 1),
                "set read_ahead_kb of the disks again, and remove it");
        }
        values.emplace(device, value);
    }
    return values;
}

/// The setting belongs to the whole disk, which has a partition's file system, too.
std::string disk_of(const ReadAheadPlaces& places, dev_t number) {
    const Disk disk = find_disk(number, places.sys);
    return device_text(disk.number == 0 ? number : disk.number);
}

/// All of them, also if one fails; then the note stays.
void put_back(const ReadAheadPlaces& places, const Values& values) {
    std::optional<Error> failure;
    for (const auto& [device, value] : values) {
        std::error_code gone;
        const std::filesystem::path setting = setting_of(places, device);
        if (!std::filesystem::exists(setting, gone)) continue;
        try {
            write_setting(setting, value + "\n");
        } catch (const Error& error) {
            failure = error;
        }
    }
    if (failure) throw Error(*failure);
    std::filesystem::remove(note_path(places));
}

/// With the lock held.
std::vector<std::string> restore_noted(const ReadAheadPlaces& places) {
    const std::filesystem::path path = note_path(places);
    std::string note;
    try {
        note = read_file(path, kMaxNoteBytes);
    } catch (const Error& error) {
        if (error.code() == Errc::not_found) return {};
        throw;
    }
    const Values values = values_in(note, path);
    put_back(places, values);
    std::vector<std::string> devices;
    for (const auto& [device, value] : values) devices.push_back(device);
    return devices;
}

}  // namespace

NoReadAhead::NoReadAhead(const std::vector<dev_t>& devices, ReadAheadPlaces places)
    : places_(std::move(places)), lock_(lock_path(places_)) {
    restore_noted(places_);
    Values values;
    for (const dev_t number : devices) {
        const std::string device = disk_of(places_, number);
        const std::filesystem::path setting = setting_of(places_, device);
        std::error_code hidden;
        if (!std::filesystem::exists(setting, hidden)) {
            is_complete_ = false;
            continue;
        }
        const std::string contents = read_file(setting, kMaxValueBytes);
        const std::string value(trimmed(contents));
        if (value != "0") values.emplace(device, value);
    }
    if (values.empty()) return;
    write_file_durably(note_path(places_), note_of(values), 0644);
    try {
        for (const auto& [device, value] : values)
            write_setting(setting_of(places_, device), "0\n");
    } catch (const Error&) {
        put_back(places_, values);
        throw;
    }
}

NoReadAhead::~NoReadAhead() {
    try {
        restore_noted(places_);
    } catch (const std::exception&) {
        return;  // the note stays for the next recording, or a start of the daemon
    }
}

std::vector<std::string> restore_read_ahead(const ReadAheadPlaces& places) {
    std::error_code hidden;
    if (!std::filesystem::exists(note_path(places), hidden)) return {};
    try {
        const FileLock lock(lock_path(places));
        return restore_noted(places);
    } catch (const Error& error) {
        if (error.code() == Errc::conflict) return {};
        throw;
    }
}

}  // namespace prebake::hydrate
