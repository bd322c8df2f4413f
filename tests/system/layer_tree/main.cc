// Writes a layer into a directory. The tree is prebake's, or containerd's (Diff.Apply), so that
// tests can compare them:
//
//   layer_tree --whiteouts overlay|apply [--walk] [--times] LAYER.tar UPPER [LOWER...]
//   layer_tree --compare --whiteouts overlay|apply [--walk] [--times] LAYER.tar UPPER [LOWER...]
//   layer_tree --serve [SOCKET]
//
// The first form writes one layer, the second compares one with what was written. --walk does it
// without openat2(2); --times prints what it cost.
// The third form reads a job from each line of standard input, with tabs between its fields:
//
//   prebake|walk|containerd|compare|compare-walk  overlay|apply  LAYER.tar  UPPER  [LOWER...]
//
// and answers each with a line, "done", "error MESSAGE", or the differences that were found.
// SOCKET is containerd's.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/stream.h"
#include "agent/containerd/connection.h"
#include "agent/containerd/content.h"
#include "agent/containerd/diff.h"
#include "agent/containerd/leases.h"
#include "agent/layer/apply.h"
#include "agent/layer/compare.h"
#include "agent/layer/tree_writer.h"

namespace {

using prebake::Errc;
using prebake::Error;
using prebake::FileDescriptor;
namespace containerd = prebake::containerd;
namespace layer = prebake::layer;
namespace oci = prebake::oci;

struct Job {
    layer::Whiteouts whiteouts = layer::Whiteouts::overlay;
    layer::PathOpening opening = layer::PathOpening::openat2_if_possible;
    std::string tar;
    std::string upper;
    std::vector<std::string> lowers;  // the nearest first
};

class FileSource : public prebake::Source {
  public:
    explicit FileSource(const std::string& path)
        : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (!fd_) throw prebake::errno_error("cannot open", path);
    }
    std::size_t read(std::span<std::byte> buffer) override {
        std::size_t got = 0;
        while (got < buffer.size()) {
            const ssize_t more = ::read(fd_.get(), buffer.data() + got, buffer.size() - got);
            if (more < 0) throw prebake::errno_error("cannot read", path_);
            if (more == 0) break;
            got += static_cast<std::size_t>(more);
        }
        return got;
    }

  private:
    std::string path_;
    FileDescriptor fd_;
};

FileDescriptor directory(const std::string& path) {
    FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) throw prebake::errno_error("cannot open", path);
    return fd;
}

/// The directories of a job.
struct Directories {
    explicit Directories(const Job& job) : upper(directory(job.upper)) {
        for (const std::string& lower : job.lowers) {
            opened.push_back(directory(lower));
            lowers.push_back(opened.back().get());
        }
    }
    FileDescriptor upper;
    std::vector<FileDescriptor> opened;
    std::vector<int> lowers;
};

/// Returns the number of entries.
std::size_t write_tree(const Job& job) {
    const Directories directories(job);
    FileSource tar(job.tar);
    layer::TreeWriter tree(directories.upper.get(), job.whiteouts, job.opening);
    std::size_t entries = 0;
    layer::apply(tar, tree, [&] { ++entries; });
    tree.finish(directories.lowers);
    return entries;
}

layer::Comparison compare_tree(const Job& job) {
    const Directories directories(job);
    FileSource tar(job.tar);
    return layer::compare(tar, {.root = directories.upper.get(),
                                .lowers = directories.lowers,
                                .whiteouts = job.whiteouts,
                                .opening = job.opening});
}

/// One line; "done" if there are no differences.
std::string answer_of(const layer::Comparison& comparison) {
    if (comparison.total == 0) return "done";
    std::string answer = "differ " + std::to_string(comparison.total);
    if (comparison.is_cut_short) answer += " or more";
    for (const layer::Difference& one : comparison.differences) {
        answer += "\t/" + prebake::printable(one.path) + ": expected " + one.expected + ", found " +
                  one.found;
    }
    return answer;
}

/// containerd, in a namespace of its own.
class Daemon {
  public:
    explicit Daemon(const std::string& socket)
        : connection_(socket, {}),
          leases_(connection_, kNamespace),
          content_(connection_, {kNamespace, kLease}),
          diff_(connection_, {kNamespace, kLease}) {
        leases_.create(kLease, std::chrono::hours(1), {});
    }

    void apply(const Job& job) const {
        std::ifstream file(job.tar, std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(file), {}};
        if (bytes.empty()) throw Error(Errc::usage, job.tar + " is empty or cannot be read");
        const oci::Descriptor blob{.media_type = "application/vnd.oci.image.layer.v1.tar",
                                   .digest = oci::Digest::of(bytes),
                                   .size = bytes.size(),
                                   .annotations = {},
                                   .platform = {}};
        content_.put(containerd::ingest_ref(blob), blob, bytes, {});
        const oci::Digest diff_id = diff_.apply(blob, {mount_of(job)});
        if (diff_id != blob.digest) throw Error(Errc::corrupt, "containerd has another diffID");
    }

  private:
    static constexpr const char* kNamespace = "layer-trees";
    static constexpr const char* kLease = "layer-trees";

    static containerd::Mount mount_of(const Job& job) {
        if (job.whiteouts == layer::Whiteouts::apply) {
            return {.type = "bind", .source = job.upper, .target = {}, .options = {"rw", "rbind"}};
        }
        containerd::Mount mount{.type = "overlay",
                                .source = "overlay",
                                .target = {},
                                .options = {"upperdir=" + job.upper}};
        std::string lowers;
        for (const std::string& lower : job.lowers) lowers += (lowers.empty() ? "" : ":") + lower;
        if (!lowers.empty()) mount.options.push_back("lowerdir=" + lowers);
        return mount;
    }

    containerd::Connection connection_;
    containerd::Leases leases_;
    containerd::Content content_;
    containerd::Diff diff_;
};

layer::Whiteouts whiteouts_of(const std::string& word) {
    if (word == "overlay") return layer::Whiteouts::overlay;
    if (word == "apply") return layer::Whiteouts::apply;
    throw Error(Errc::usage, "there are no whiteouts \"" + word + "\"");
}

/// The job of a line, with the word that says who does it.
std::pair<std::string, Job> parse(const std::string& line) {
    std::vector<std::string> fields;
    std::istringstream stream(line);
    for (std::string field; std::getline(stream, field, '\t');) fields.push_back(field);
    if (fields.size() < 4) throw Error(Errc::usage, "a job has too few fields: " + line);
    Job job;
    job.whiteouts = whiteouts_of(fields[1]);
    job.tar = fields[2];
    job.upper = fields[3];
    job.lowers.assign(fields.begin() + 4, fields.end());
    return {fields[0], job};
}

int serve(const std::optional<std::string>& socket) {
    std::unique_ptr<Daemon> daemon;
    if (socket) daemon = std::make_unique<Daemon>(*socket);
    for (std::string line; std::getline(std::cin, line);) {
        auto [who, job] = parse(line);
        std::string answer = "done";
        try {
            if (who == "containerd" && daemon) {
                daemon->apply(job);
            } else if (who == "prebake" || who == "walk") {
                if (who == "walk") job.opening = layer::PathOpening::walk;
                write_tree(job);
            } else if (who == "compare" || who == "compare-walk") {
                if (who == "compare-walk") job.opening = layer::PathOpening::walk;
                answer = answer_of(compare_tree(job));
            } else {
                throw std::runtime_error("nobody does the job of " + who);
            }
        } catch (const Error& error) {
            answer = "error " + std::string(prebake::to_string(error.code())) + ": " + error.what();
        }
        std::cout << answer << std::endl;
    }
    return 0;
}

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

enum class Work { write, compare };

int do_one(const Job& job, Work work, bool prints_times) {
    const auto begin = std::chrono::steady_clock::now();
    std::size_t entries = 0;
    if (work == Work::write) {
        entries = write_tree(job);
    } else {
        const layer::Comparison comparison = compare_tree(job);
        entries = comparison.files;
        std::puts(answer_of(comparison).c_str());
    }
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
    if (!prints_times) return 0;
    rusage usage = {};
    ::getrusage(RUSAGE_SELF, &usage);
    const double cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    std::printf(
        "%zu entries, wall %.3f s, user %.3f s, system %.3f s, %.1f us of CPU per entry, "
        "peak %ld MiB\n",
        entries, wall.count(), seconds(usage.ru_utime), seconds(usage.ru_stime),
        cpu * 1e6 / static_cast<double>(entries), usage.ru_maxrss / 1024);
    return 0;
}

int run(const std::vector<std::string>& arguments) {
    Job job;
    bool prints_times = false;
    Work work = Work::write;
    std::vector<std::string> places;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        if (argument == "--serve") {
            if (i + 1 == arguments.size()) return serve(std::nullopt);
            return serve(arguments[i + 1]);
        }
        if (argument == "--whiteouts" && i + 1 < arguments.size()) {
            job.whiteouts = whiteouts_of(arguments[++i]);
        } else if (argument == "--walk") {
            job.opening = layer::PathOpening::walk;
        } else if (argument == "--compare") {
            work = Work::compare;
        } else if (argument == "--times") {
            prints_times = true;
        } else {
            places.push_back(argument);
        }
    }
    if (places.size() < 2) throw Error(Errc::usage, "name a layer and a directory");
    job.tar = places[0];
    job.upper = places[1];
    job.lowers.assign(places.begin() + 2, places.end());
    return do_one(job, work, prints_times);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run({argv + 1, argv + argc});
    } catch (const std::exception& error) {
        std::fprintf(stderr, "layer_tree: %s\n", error.what());
        return 1;
    }
}
