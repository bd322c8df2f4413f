#include "agent/hydrate/read_ahead.h"

#include <doctest/doctest.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "agent/base/boot.h"
#include "agent/base/error.h"
#include "agent/base/file.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate {

namespace read_ahead_test {

/// Two disks, the second one with a partition.
class Machine {
  public:
    Machine() {
        write("sys/class/bdi/8:0/read_ahead_kb", "128\n");
        write("sys/class/bdi/259:0/read_ahead_kb", "8192\n");
        write("sys/devices/nvme/dev", "259:0\n");
        write("sys/devices/nvme/part/partition", "1\n");
        std::filesystem::create_directories(directory_ / "sys/dev/block");
        std::filesystem::create_directory_symlink(directory_ / "sys/devices/nvme/part",
                                                  directory_ / "sys/dev/block/259:1");
    }
    void write(const std::string& name, const std::string& text) const {
        std::filesystem::create_directories((directory_ / name).parent_path());
        std::ofstream(directory_ / name) << text;
    }
    std::string value(const std::string& device) const {
        const std::string text =
            read_file(directory_ / ("sys/class/bdi/" + device + "/read_ahead_kb"), 100);
        return text.substr(0, text.find('\n'));
    }
    ReadAheadPlaces places() const {
        return {.sys = directory_ / "sys", .runtime = directory_ / "run"};
    }
    bool has_note() const { return std::filesystem::exists(directory_ / "run/read-ahead"); }

  private:
    TemporaryDirectory directory_;
};

TEST_CASE("read-ahead is off, and comes back") {
    const Machine machine;
    {
        // In memory, without such a setting; a disk; a partition of another one; the same again.
        const NoReadAhead off(
            {::makedev(0, 25), ::makedev(8, 0), ::makedev(259, 1), ::makedev(259, 0)},
            machine.places());
        CHECK_FALSE(off.is_complete());
        CHECK(machine.value("8:0") == "0");
        CHECK(machine.value("259:0") == "0");
        CHECK(machine.has_note());
        CHECK(restore_read_ahead(machine.places()).empty());  // a daemon starts meanwhile
        CHECK(machine.value("8:0") == "0");
        CHECK_THROWS_AS(NoReadAhead({}, machine.places()), Error);
    }
    CHECK(machine.value("8:0") == "128");
    CHECK(machine.value("259:0") == "8192");
    CHECK_FALSE(machine.has_note());
}

TEST_CASE("what a killed recording left is put back by the next one, or by anybody") {
    const Machine machine;
    const std::string note = read_boot_id() + "\n259:0 8192\n8:0 128\n9:9 64\n";  // 9:9 is gone
    for (const bool is_next_recording : {false, true}) {
        CAPTURE(is_next_recording);
        machine.write("sys/class/bdi/8:0/read_ahead_kb", "0\n");
        machine.write("sys/class/bdi/259:0/read_ahead_kb", "0\n");
        machine.write("run/read-ahead", note);
        if (is_next_recording) {
            const NoReadAhead off({::makedev(8, 0)}, machine.places());
            CHECK(off.is_complete());
            CHECK(machine.value("8:0") == "0");
        } else {
            CHECK(restore_read_ahead(machine.places()).size() == 3);
        }
        CHECK(machine.value("8:0") == "128");
        CHECK(machine.value("259:0") == "8192");
        CHECK_FALSE(machine.has_note());
    }
    CHECK(restore_read_ahead(machine.places()).empty());
}

TEST_CASE("a note of another boot changes nothing") {
    const Machine machine;
    machine.write("run/read-ahead", "00000000-0000-0000-0000-000000000000\n8:0 4\n");
    restore_read_ahead(machine.places());
    CHECK(machine.value("8:0") == "128");
    CHECK_FALSE(machine.has_note());
}

TEST_CASE("a note that names other files is refused") {
    const Machine machine;
    for (const char* line : {"../../x 128", "8:0", "8:0 ", "8:0 -1", "8:0 128 ", "8 128", ":0 1"}) {
        CAPTURE(line);
        machine.write("run/read-ahead", read_boot_id() + "\n" + line + "\n");
        CHECK_THROWS_AS(restore_read_ahead(machine.places()), Error);
        CHECK(machine.value("8:0") == "128");
    }
}

}  // namespace read_ahead_test

}  // namespace prebake::hydrate
