#include "agent/trust/verifier_programs.h"

#include <algorithm>
#include <boost/json.hpp>
#include <system_error>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/text.h"
#include "agent/registry/external_program.h"

namespace prebake::trust {
namespace {

/// What containerd reads of a program's output.
constexpr std::size_t kMaxReason = 32UL << 10;
constexpr std::size_t kShownReason = 300;
/// 128 + n stands for signal n.
constexpr int kSignalStatus = 128;
constexpr int kSignals = 64;

std::string descriptor_json(const oci::Descriptor& image) {
    boost::json::object descriptor;
    descriptor["mediaType"] = image.media_type;
    descriptor["digest"] = image.digest.str();
    descriptor["size"] = image.size;
    return boost::json::serialize(descriptor) + "\n";
}

/// All entries, by name.
std::vector<std::filesystem::path> programs_in(const std::filesystem::path& directory) {
    std::vector<std::filesystem::path> programs;
    std::error_code failed;
    std::filesystem::directory_iterator entries(directory, failed);
    if (failed == std::errc::no_such_file_or_directory) return programs;
    for (; !failed && entries != std::filesystem::directory_iterator(); entries.increment(failed)) {
        programs.push_back(entries->path());
    }
    if (failed) {
        throw Error(
            Errc::failed_precondition,
            "cannot list the image verifiers in " + directory.string() + ": " + failed.message(),
            "containerd would pull no image either: correct bin_dir in its configuration");
    }
    std::sort(programs.begin(), programs.end());
    return programs;
}

void run_verifier(const std::filesystem::path& program, const VerifierPrograms& programs,
                  const std::string& name, const oci::Descriptor& image,
                  const std::stop_token& stop) {
    Command command =
        registry::external_program({program.string(), "-name", name, "-digest", image.digest.str(),
                                    "-stdin-media-type", "application/vnd.oci.descriptor.v1+json"},
                                   descriptor_json(image));
    command.time_limit = programs.time_limit;
    command.output_limit = kMaxReason;
    const std::string who = "image verifier " + program.string();
    CommandResult result;
    try {
        result = run_command(command, stop);
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled || error.code() == Errc::timed_out) {
            throw error.within(who);
        }
        throw Error(Errc::failed_precondition, who + " cannot be run: " + error.message(),
                    "containerd would pull no image either: make it a program, or remove it");
    }
    if (result.status == 0) return;
    if (result.status > kSignalStatus && result.status <= kSignalStatus + kSignals) {
        throw Error(Errc::failed_precondition,
                    who + " was ended by signal " + std::to_string(result.status - kSignalStatus),
                    "run it by hand to see why");
    }
    const std::string_view said = trimmed(result.output);
    const std::string reason =
        said.empty() ? registry::complaint_of(result) : shorten(printable(said), kShownReason);
    throw Error(Errc::untrusted,
                "it is refused: " + who + " rejects " + image.digest.str() + " (exit status " +
                    std::to_string(result.status) + ")" + (reason.empty() ? "" : ": " + reason),
                "containerd would not pull it either: ask who runs this verifier");
}

}  // namespace

void require_accepted(const VerifierPrograms& programs, const std::string& name,
                      const oci::Descriptor& image, const std::stop_token& stop) {
    if (programs.directory.empty()) return;
    std::int64_t number = 0;
    for (const std::filesystem::path& program : programs_in(programs.directory)) {
        if (programs.most >= 0 && number++ >= programs.most) return;
        run_verifier(program, programs, name, image, stop);
    }
}

}  // namespace prebake::trust
