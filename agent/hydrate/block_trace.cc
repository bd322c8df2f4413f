#include "agent/hydrate/block_trace.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <system_error>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/text.h"
#include "agent/base/wait.h"
#include "agent/hydrate/disk.h"

namespace prebake::hydrate {
namespace {

/// For each processor. An event needs about a hundred bytes.
constexpr const char* kBufferKib = "2048";

/// Takes a number and what follows it off the front of `text`.
std::optional<std::uint64_t> take_number(std::string_view& text, std::string_view end) {
    std::uint64_t number = 0;
    const auto [rest, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failure != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
    if (!text.starts_with(end)) return std::nullopt;
    text.remove_prefix(end.size());
    return number;
}

void mount_if_needed(const std::filesystem::path& tracefs) {
    std::error_code hidden;
    if (std::filesystem::exists(tracefs / "instances", hidden)) return;
    if (::mount("tracefs", tracefs.c_str(), "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) ==
        0) {
        return;
    }
    const Error error = errno_error("cannot mount tracefs at", tracefs);
    if (error.code() == Errc::permission_denied) throw Error(error);
    throw Error(Errc::unsupported, error.message(),
                "record on a machine whose kernel has tracing (CONFIG_BLK_DEV_IO_TRACE)");
}

}  // namespace

std::optional<BlockRead> parse_block_read(std::string_view line) {
    constexpr std::string_view kEvent = ": block_rq_issue: ";
    const std::size_t event = line.find(kEvent);
    if (event == std::string_view::npos) return std::nullopt;
    line.remove_prefix(event + kEvent.size());
    const auto major_number = take_number(line, ",");
    const auto minor_number = major_number ? take_number(line, " ") : std::nullopt;
    // The flags: R, RA, RM, RSM, ...; what is not a read begins otherwise.
    if (!minor_number || !line.starts_with('R')) return std::nullopt;
    const std::size_t command_end = line.find(") ");
    if (command_end == std::string_view::npos) return std::nullopt;
    line.remove_prefix(command_end + 2);
    const auto first = take_number(line, " + ");
    const auto sectors = first ? take_number(line, " ") : std::nullopt;
    if (!sectors || *sectors == 0) return std::nullopt;
    return BlockRead{.disk = ::makedev(static_cast<unsigned>(*major_number),
                                       static_cast<unsigned>(*minor_number)),
                     .first_sector = *first,
                     .sectors = *sectors};
}

std::uint64_t lost_events_in(std::string_view line) {
    // "CPU:3 [LOST 1234 EVENTS]"
    constexpr std::string_view kLost = " [LOST ";
    const std::size_t lost = line.find(kLost);
    if (!line.starts_with("CPU:") || lost == std::string_view::npos) return 0;
    line.remove_prefix(lost + kLost.size());
    return take_number(line, " EVENTS]").value_or(0);
}

std::optional<DiskArea> area_of(dev_t number, const std::filesystem::path& sys) {
    const Disk disk = find_disk(number, sys);
    const std::uint64_t bytes = bytes_of_device(number, sys);
    if (disk.number == 0 || !disk.start || bytes == 0) return std::nullopt;
    return DiskArea{.disk = disk.number,
                    .first_sector = *disk.start / kSectorBytes,
                    .sectors = bytes / kSectorBytes};
}

ChunkSet chunks_in(const SectorsRead& read, const DiskArea& area) {
    ChunkSet chunks;
    const auto sectors = read.find(area.disk);
    if (sectors == read.end()) return chunks;
    const std::uint64_t end = area.first_sector + area.sectors;
    for (const ChunkRun& run : sectors->second.runs()) {
        const std::uint64_t from = std::max(run.first, area.first_sector);
        const std::uint64_t to = std::min(run.first + run.count, end);
        if (from >= to) continue;
        chunks.add_bytes((from - area.first_sector) * kSectorBytes, (to - from) * kSectorBytes);
    }
    return chunks;
}

BlockTrace::BlockTrace(const std::filesystem::path& runtime, std::filesystem::path tracefs)
    : lock_(runtime / "block-trace.lock"), instance_(std::move(tracefs)) {
    mount_if_needed(instance_);
    instance_ /= "instances/prebake";
    ::rmdir(instance_.c_str());  // of a process that was killed
    if (::mkdir(instance_.c_str(), 0700) != 0) throw errno_error("cannot create", instance_);
    try {
        write_setting(instance_ / "buffer_size_kb", kBufferKib);
        const std::filesystem::path event = instance_ / "events/block/block_rq_issue";
        write_setting(event / "filter", "rwbs ~ \"R*\"");
        pipe_ = FileDescriptor(
            ::open((instance_ / "trace_pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
        if (!pipe_) throw errno_error("cannot open", instance_ / "trace_pipe");
        write_setting(event / "enable", "1");
    } catch (const Error&) {
        pipe_ = {};
        ::rmdir(instance_.c_str());
        throw;
    }
}

BlockTrace::~BlockTrace() {
    pipe_ = {};  // an instance that is read stays
    ::rmdir(instance_.c_str());
}

void BlockTrace::follow(std::chrono::steady_clock::time_point deadline,
                        const std::stop_token& stop) {
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::milliseconds kLongestPause{200};
    // What is in the pipe at the end; a busy disk fills it again.
    constexpr int kLastReads = 1000;
    while (!stop.stop_requested() && Clock::now() < deadline) {
        if (take_more()) continue;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
        try {
            sleep_for(std::min(left, kLongestPause), stop);
        } catch (const Error&) {
            break;  // a stop
        }
    }
    for (int i = 0; i < kLastReads && take_more(); ++i) continue;
}

bool BlockTrace::take_more() {
    std::array<char, 65536> buffer;
    const ssize_t got = ::read(pipe_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
        throw errno_error("cannot read", instance_ / "trace_pipe");
    }
    if (got > 0) take({buffer.data(), static_cast<std::size_t>(got)});
    return got > 0;
}

void BlockTrace::take(std::string_view text) {
    rest_ += text;
    const std::size_t end = rest_.rfind('\n');
    if (end == std::string::npos) return;
    for (const std::string_view line : lines_of(std::string_view(rest_).substr(0, end))) {
        lost_events_ += lost_events_in(line);
        const auto read = parse_block_read(line);
        if (read) read_[read->disk].add(ChunkRun{read->first_sector, read->sectors});
    }
    rest_.erase(0, end + 1);
}

}  // namespace prebake::hydrate
