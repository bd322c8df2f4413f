#include "agent/identity/secrets/scan.h"

#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/wait.h"
#include "agent/identity/secrets/binary_formats.h"
#include "agent/identity/secrets/byte_source.h"
#include "agent/identity/secrets/gunzip.h"
#include "agent/identity/secrets/patterns.h"
#include "agent/identity/secrets/places.h"
#include "agent/identity/secrets/rule.h"
#include "agent/identity/secrets/utf16.h"

namespace prebake::identity::secrets {
namespace {

/// How much of a file is in memory.
constexpr std::size_t kPiece = 1UL << 20;
/// Limit for one file. More findings would add nothing.
constexpr std::size_t kMaxSecretsOfFile = 100;
/// Limit for all files. The scan ends there: nobody reads more.
constexpr std::size_t kMaxFindings = 100'000;
/// How many directories are remembered (about 20 MB). Beyond that, some may be searched twice.
constexpr std::size_t kMaxRemembered = 500'000;

constexpr std::string_view kSnapshot =
    "a read-only btrfs snapshot; delete snapshots that the image does not need";
constexpr std::string_view kRepeated =
    "mounted at several paths, and searched at another one of them";

constexpr std::string_view kDamaged =
    "damaged: what could be unpacked before the damage was searched, and not the rest";

/// `path` as it was before compression: its name says what its contents mean.
std::string_view unpacked_name(std::string_view path) {
    constexpr std::string_view kGzip = ".gz";
    if (path.ends_with(kGzip)) path.remove_suffix(kGzip.size());
    return path;
}

/// Which files of a directory are searched.
enum class Files { all, private_ones };

struct Directory {
    std::string path;
    dev_t device = 0;
    ino_t inode = 0;
    Files files = Files::all;
};

/// Nobody but its owner may read it.
bool is_private(const machine::FileInfo& info) {
    return (info.mode & (S_IRWXG | S_IRWXO)) == 0;
}

/// Remembers directories, to search one that is mounted at several paths only once. Which of its
/// paths comes first is not known, so all directories count, not only mount points.
class VisitedDirectories {
  public:
    /// False if it was there before.
    bool add(dev_t device, ino_t inode) {
        if (keys_.size() == kMaxRemembered) return !holds(device, inode);
        return keys_.insert(Key{device, inode}).second;
    }
    bool holds(dev_t device, ino_t inode) const { return keys_.count(Key{device, inode}) != 0; }

  private:
    struct Key {
        dev_t device;
        ino_t inode;
        bool operator==(const Key&) const = default;
    };
    struct Hash {
        std::size_t operator()(const Key& key) const {
            return std::hash<ino_t>()(key.inode) ^ (std::hash<dev_t>()(key.device) << 1);
        }
    };
    std::unordered_set<Key, Hash> keys_;
};

class Scanner {
  public:
    Scanner(const machine::Root& root, SearchArea area, const ScanLimits& limits,
            const std::stop_token& stop, const LocateMore& locate_more)
        : root_(root),
          area_(std::move(area)),
          limits_(limits),
          stop_(stop),
          locate_more_(locate_more),
          began_(std::chrono::steady_clock::now()) {}

    SecretScan scan() {
        for (const Error& problem : area_.problems) not_scanned("/", problem.message());
        remember_root();
        std::vector<Directory> places = files_and_directories_in({});
        if (is_over()) not_scanned("/", limit_);
        std::stable_partition(places.begin(), places.end(), is_searched_first);
        for (const Directory& place : places) {
            if (!is_over()) scan_place(place);
            if (is_over()) not_scanned(place.path, limit_);
        }
        for (const std::string& path : area_.also) {
            if (!is_over()) scan_also(path);
            if (is_over()) not_scanned(path, limit_);
        }
        // Last, because little is found there. What was searched above is not searched again.
        for (const Directory& place : packages_) {
            if (!is_over()) scan_place(place);
            if (is_over()) not_scanned(place.path, limit_);
        }
        std::sort(result_.secrets.begin(), result_.secrets.end(), [](const auto& a, const auto& b) {
            return std::tie(a.path, a.line, a.kind) < std::tie(b.path, b.line, b.kind);
        });
        std::sort(result_.not_scanned.begin(), result_.not_scanned.end(),
                  [](const auto& a, const auto& b) {
                      return std::tie(a.path, a.reason) < std::tie(b.path, b.reason);
                  });
        std::sort(result_.left_out.begin(), result_.left_out.end(),
                  [](const auto& a, const auto& b) { return a.path < b.path; });
        return std::move(result_);
    }

  private:
    enum class Unpacking { later, done };

    /// What is searched, and what its contents are called.
    struct Searched {
        const std::string& path;
        std::string_view name;
        Unpacking unpacking;
    };

    /// What else than plain bytes a file is.
    struct Form {
        bool is_gzip = false;
        std::optional<ByteOrder> utf16;
    };

    /// If a limit is reached, these are done. /var, because what is mounted there and elsewhere is
    /// judged by its name there.
    static bool is_searched_first(const Directory& place) {
        return place.path == "/etc" || place.path == "/home" || place.path == "/root" ||
               place.path == "/var";
    }

    void remember_root() {
        try {
            const struct stat status = status_of("/");
            visited_.add(status.st_dev, status.st_ino);
        } catch (const Error& error) {
            not_scanned("/", error.message());
        }
    }

    /// What the administrator wants and the walk did not reach: it is below what is left out.
    void scan_also(const std::string& path) {
        try {
            const std::optional<machine::FileInfo> info = root_.info(path);
            if (!info || area_.is_spared(path)) return;
            if (info->type == machine::FileType::regular) {
                const struct stat above = status_of(path.substr(0, path.rfind('/') + 1));
                if (!visited_.holds(above.st_dev, above.st_ino)) scan_file(path);
            } else if (info->type == machine::FileType::directory) {
                const struct stat status = status_of(path);
                if (!visited_.holds(status.st_dev, status.st_ino))
                    scan_place({path, status.st_dev, status.st_ino});
            }
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled) throw;
            if (error.code() != Errc::not_found) not_scanned(path, error.message());
        }
    }

    void scan_place(const Directory& place) {
        std::vector<Directory> directories{place};
        while (!directories.empty()) {
            const Directory directory = std::move(directories.back());
            directories.pop_back();
            if (!visited_.add(directory.device, directory.inode)) {
                if (directory.files == Files::all) left_out(directory.path, kRepeated);
                continue;
            }
            for (Directory& below : files_and_directories_in(directory)) {
                if (is_over()) return;
                directories.push_back(std::move(below));
            }
        }
    }

    /// Scans the files in a directory ("" is the root), and returns the directories to search.
    std::vector<Directory> files_and_directories_in(const Directory& directory) {
        std::vector<Directory> directories;
        const bool is_root = directory.path.empty();
        const std::vector<std::string> names = names_in(is_root ? "/" : directory.path);
        for (const std::string& name : names) {
            if (!is_root && is_over()) break;
            look_at(directory.path + "/" + name, directory.files, names, directories);
        }
        return directories;
    }

    std::vector<std::string> names_in(const std::string& directory) {
        try {
            return root_.names_in(directory);
        } catch (const Error& error) {
            not_scanned(directory, error.message());
            return {};
        }
    }

    void look_at(const std::string& path, Files files, const std::vector<std::string>& siblings,
                 std::vector<Directory>& directories) {
        try {
            const std::optional<machine::FileInfo> info = root_.info(path);
            if (!info) return;  // removed in the meantime
            const bool is_directory = info->type == machine::FileType::directory;
            if (!is_directory && info->type != machine::FileType::regular) return;
            if (files == Files::private_ones) {
                if (area_.is_wanted(path)) return;  // searched before
                if (!is_directory && !is_private(*info)) return;
            }
            const std::string_view reason = area_.why_left_out(path, siblings);
            if (!reason.empty()) {
                left_out(path, reason);
                if (!is_directory || !area_.is_of_packages(path)) return;
            }
            if (!is_directory) return scan_file(path);
            const struct stat status = status_of(path);
            const Directory directory{path, status.st_dev, status.st_ino, files};
            if (area_.also.count(path) != 0) return directories.push_back(directory);
            const std::string_view why_not = info->is_mount ? why_not_below(path, status.st_dev)
                                                            : why_snapshot(path, status.st_ino);
            if (!why_not.empty()) return left_out(path, why_not);
            if (reason.empty()) return directories.push_back(directory);
            packages_.push_back({path, status.st_dev, status.st_ino, Files::private_ones});
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled) throw;
            if (error.code() != Errc::not_found) not_scanned(path, error.message());
        }
    }

    struct stat status_of(const std::string& directory) const {
        const FileDescriptor fd = root_.open_directory(directory);
        struct stat status {};
        if (::fstat(fd.get(), &status) != 0) {
            throw errno_error("cannot read", root_.outside(directory));
        }
        return status;
    }

    /// Why the file system that is mounted at `path` is not searched; empty if it is.
    std::string_view why_not_below(const std::string& path, dev_t device) const {
        const FileDescriptor fd = root_.open_directory(path);
        struct statfs file_system {};
        if (::fstatfs(fd.get(), &file_system) != 0) {
            throw errno_error("cannot read", root_.outside(path));
        }
        return why_not_entered(device, file_system.f_type);
    }

    /// Why a directory is not searched that is a snapshot; empty if it is none.
    std::string_view why_snapshot(const std::string& path, ino_t inode) const {
        if (inode != BTRFS_FIRST_FREE_OBJECTID) return {};
        const FileDescriptor fd = root_.open_directory(path);
        struct statfs file_system {};
        __u64 flags = 0;
        if (::fstatfs(fd.get(), &file_system) != 0 ||
            ::ioctl(fd.get(), BTRFS_IOC_SUBVOL_GETFLAGS, &flags) != 0) {
            return {};  // another file system
        }
        const bool is_snapshot = is_read_only_snapshot(file_system.f_type, inode, flags);
        return is_snapshot ? kSnapshot : std::string_view();
    }

    void scan_file(const std::string& path) {
        const FileDescriptor fd = root_.open(path);
        struct stat status {};
        if (::fstat(fd.get(), &status) != 0)
            return not_scanned(path, std::system_category().message(errno));
        if (!S_ISREG(status.st_mode)) return;  // replaced in the meantime
        ++result_.files;
        if (static_cast<std::uint64_t>(status.st_size) > limits_.file_bytes)
            return not_scanned(path, too_large());
        FileBytes bytes(fd.get(), root_.outside(path).string());
        const Form form = scan_pieces({path, path, Unpacking::later}, bytes);
        if (form.is_gzip) return scan_gzip(path, bytes);
        scan_utf16({path, path, Unpacking::done}, bytes, form);
    }

    void scan_gzip(const std::string& path, ByteSource& compressed) {
        compressed.rewind();
        GunzippedBytes bytes(compressed);
        const Searched searched{path, unpacked_name(path), Unpacking::done};
        const Form form = scan_pieces(searched, bytes);
        if (bytes.expands_too_much()) {
            return not_scanned(path, "the rest of a file that expands more than " +
                                         std::to_string(GunzippedBytes::kMaxRatio) + " times");
        }
        if (bytes.is_damaged()) left_out(path, kDamaged);
        scan_utf16(searched, bytes, form);
    }

    void scan_utf16(const Searched& searched, ByteSource& utf16, const Form& form) {
        if (!form.utf16) return;
        utf16.rewind();
        Utf16AsUtf8 bytes(utf16, *form.utf16);
        scan_pieces(searched, bytes);
    }

    /// Pieces overlap by more than the judges read, so each secret is complete in one of them. Each
    /// offset in the file belongs to only one piece. Returns what else the file has to be read as.
    Form scan_pieces(const Searched& searched, ByteSource& bytes) {
        static_assert(kMaxLookBehind + kMaxLookAhead < kPiece / 2);
        const std::string& path = searched.path;
        buffer_.resize(kPiece);
        Form form;
        std::size_t filled = 0;
        std::size_t from = 0;
        std::uint64_t line = 1;  // at `counted`
        std::size_t counted = 0;
        std::uint64_t total = 0;
        std::size_t found = 0;
        for (bool is_last = false; !is_last;) {
            if (is_over()) return {};
            const std::size_t got = fill(bytes, filled);
            is_last = filled + got < kPiece;
            filled += got;
            const std::string_view text(buffer_.data(), filled);
            if (from == 0 && searched.unpacking == Unpacking::later && is_gzip(text))
                return {.is_gzip = true, .utf16 = {}};
            total += got;
            result_.bytes += got;
            if (total > limits_.file_bytes) {
                not_scanned(path, too_large());
                return {};
            }
            if (from == 0) {
                form.utf16 = utf16_order(text);
                const BinaryFormat binary = binary_format(text);
                if (!binary.not_opened.empty()) left_out(path, binary.not_opened);
                if (!binary.key.empty()) add({path, binary.key}, found);
            }
            const std::size_t to = is_last ? filled : filled - kMaxLookAhead;
            for (const LocatedSecret& secret : located_in(searched.name, text, from, to)) {
                line += newlines(text.substr(counted, secret.offset - counted));
                counted = secret.offset;
                if (!add({path, secret.kind, line, secret.evidence}, found)) return {};
            }
            if (is_last) break;
            line += newlines(text.substr(counted, to - counted));
            const std::size_t kept_from = to - kMaxLookBehind;
            std::memmove(buffer_.data(), buffer_.data() + kept_from, filled - kept_from);
            filled -= kept_from;
            from = counted = kMaxLookBehind;
        }
        return form;
    }

    std::vector<LocatedSecret> located_in(std::string_view path, std::string_view text,
                                          std::size_t from, std::size_t to) const {
        std::vector<LocatedSecret> located = locate_secrets(path, text, from, to);
        if (!locate_more_) return located;
        locate_more_(path, text, from, to, located);
        std::stable_sort(located.begin(), located.end(),
                         [](const auto& a, const auto& b) { return a.offset < b.offset; });
        return located;
    }

    /// Fills the buffer, except at the end.
    std::size_t fill(ByteSource& bytes, std::size_t filled) {
        std::size_t total = 0;
        while (filled + total < kPiece) {
            const std::size_t got =
                bytes.read(buffer_.data() + filled + total, kPiece - filled - total);
            if (got == 0) break;
            total += got;
        }
        return total;
    }

    static std::uint64_t newlines(std::string_view text) {
        return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
    }

    /// False if this file has enough findings. Each kind counts once in a line.
    bool add(FoundSecret secret, std::size_t& found_in_file) {
        for (std::size_t i = 0; i < found_in_file; ++i) {
            const FoundSecret& other = result_.secrets[result_.secrets.size() - 1 - i];
            if (other.line != secret.line) break;
            if (other.kind == secret.kind) return true;
        }
        if (found_in_file == kMaxSecretsOfFile) {
            not_scanned(secret.path, "the rest of a file with more than " +
                                         std::to_string(kMaxSecretsOfFile) + " secrets");
            return false;
        }
        ++found_in_file;
        result_.secrets.push_back(std::move(secret));
        return true;
    }

    void not_scanned(const std::string& path, std::string reason) {
        result_.not_scanned.push_back({path, std::move(reason)});
    }

    void left_out(const std::string& path, std::string_view reason) {
        if (result_.left_out.size() < kMaxFindings)
            result_.left_out.push_back({path, std::string(reason)});
    }

    std::string too_large() const {
        return "larger than " + std::to_string(limits_.file_bytes) + " bytes";
    }

    /// Whether a limit was reached. Then the scan ends, and the places that it did not finish are
    /// reported.
    bool is_over() {
        throw_if_stopped(stop_);
        if (!limit_.empty()) return true;
        if (std::chrono::steady_clock::now() - began_ >= limits_.time)
            limit_ = "the limit of " + std::to_string(limits_.time.count()) + " ms was reached";
        else if (result_.bytes >= limits_.bytes)
            limit_ = "the limit of " + std::to_string(limits_.bytes) + " bytes was reached";
        else if (result_.secrets.size() + result_.not_scanned.size() >= kMaxFindings)
            limit_ = "the limit of findings was reached before";
        return !limit_.empty();
    }

    const machine::Root& root_;
    const SearchArea area_;
    const ScanLimits& limits_;
    const std::stop_token& stop_;
    const LocateMore& locate_more_;
    std::chrono::steady_clock::time_point began_;
    std::string limit_;  ///< that was reached
    std::vector<char> buffer_;
    VisitedDirectories visited_;
    std::vector<Directory> packages_;  ///< left out, except for private files
    SecretScan result_;
};

}  // namespace

SecretScan scan_for_secrets(const machine::Root& root, const machine::NamedFiles& kept,
                            const SearchPlaces& places, const ScanLimits& limits,
                            const std::stop_token& stop, const LocateMore& locate_more) {
    throw_if_stopped(stop);
    return Scanner(root, search_area(root, kept, places), limits, stop, locate_more).scan();
}

}  // namespace prebake::identity::secrets
