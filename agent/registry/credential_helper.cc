#include "agent/registry/credential_helper.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/ascii.h"
#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/registry/json_members.h"

namespace prebake::registry {
namespace {

namespace json = boost::json;

/// An answer, too.
constexpr std::chrono::minutes kKept = kFailureKept;
/// docker/cli's name of Docker Hub for helpers.
constexpr const char* kHubServer = "https://index.docker.io/v1/";
/// The user name with which an identity token is stored.
constexpr std::string_view kTokenUser = "<token>";
/// What docker-credential-helpers prints if it has nothing. That is no failure.
constexpr std::string_view kNotFound = "credentials not found";

struct Package {
    const char* helper;
    const char* advice;
};
constexpr std::array kPackages{
    Package{"ecr-login", "install the package amazon-ecr-credential-helper"},
    Package{"gcr", "install docker-credential-gcr"},
    Package{"gcloud", "install the package google-cloud-cli"},
    Package{"acr-env", "install docker-credential-acr-env"},
};

std::string advice_for(const std::string& helper) {
    for (const Package& package : kPackages) {
        if (helper == package.helper) return package.advice;
    }
    return "install docker-credential-" + helper + " into a directory of $PATH";
}

std::vector<std::pair<std::string, std::string>> variables_for(const std::string& helper) {
    // It would leave its password, good for twelve hours, in ~/.ecr: on the image's disk.
    if (helper == "ecr-login") return {{"AWS_ECR_DISABLE_CACHE", "true"}};
    return {};
}

/// Whether there may be an answer in it, with a secret.
bool may_be_answer(std::string_view output) {
    boost::system::error_code no_json;
    json::parse(output, no_json);
    const std::vector<std::string_view> lines = lines_of(output);
    const bool has_object = std::any_of(lines.begin(), lines.end(), [](std::string_view line) {
        return trimmed(line).starts_with('{');
    });
    return !no_json || has_object || lower_case(output).find(R"("secret")") != std::string::npos;
}

/// The protocol has the reason on standard output.
std::string complaint_of_helper(const CommandResult& result) {
    CommandResult said = result;
    const bool is_reason = !trimmed(result.output).empty() && !may_be_answer(result.output);
    if (is_reason) said.errors = result.output;
    return complaint_of(said);
}

bool is_name(std::string_view helper) {
    return !helper.empty() && std::all_of(helper.begin(), helper.end(), [](char c) {
        return is_alphanumeric(c) || c == '-' || c == '_' || c == '.';
    });
}

}  // namespace

Credentials parse_helper_answer(std::string_view text) {
    boost::system::error_code failure;
    const json::value document = json::parse(text, failure);
    if (failure || !document.is_object()) {
        throw Error(Errc::corrupt, "its answer is not a JSON object");
    }
    const json::object& answer = document.as_object();
    Credentials credentials;
    credentials.username = text_at(answer, "Username");
    std::string secret = text_at(answer, "Secret");
    if (secret.empty()) throw Error(Errc::corrupt, "its answer has no secret");
    if (credentials.username == kTokenUser) {
        credentials.username.clear();
        credentials.identity_token = std::move(secret);
    } else {
        credentials.password = std::move(secret);
    }
    return credentials;
}

CredentialHelpers::CredentialHelpers(RunProgram run, TimeSource clock)
    : run_(std::move(run)), clock_(std::move(clock)) {}

Credentials CredentialHelpers::get(const std::string& helper, const std::string& named_by,
                                   const Repository& repository, const std::stop_token& stop) {
    const bool is_hub = repository.registry == "docker.io";
    const std::string server = is_hub ? kHubServer : repository.registry;
    // One at a time: a caller that waits here gets the answer of the other.
    const std::scoped_lock lock(mutex_);
    const auto known = answers_.find({helper, server});
    if (known != answers_.end() && clock_().steady < known->second.expires) {
        return known->second.credentials;
    }
    Credentials credentials = ask(helper, named_by, server, stop);
    answers_.insert_or_assign(
        {helper, server}, Answer{.credentials = credentials, .expires = clock_().steady + kKept});
    return credentials;
}

Credentials CredentialHelpers::ask(const std::string& helper, const std::string& named_by,
                                   const std::string& server, const std::stop_token& stop) const {
    const std::string program = "docker-credential-" + helper;
    Credentials none;
    const auto because = [&](const std::string& why) {
        none.note = program + ", which " + named_by + " names for " + server + ", " + why;
        return none;
    };
    if (!is_name(helper)) return because("is no name of a program");
    if (!is_program(program)) return because("is not in $PATH; " + advice_for(helper));
    try {
        const CommandResult result =
            run_(external_program({program, "get"}, server, variables_for(helper)), stop);
        if (result.status == 0) {
            Credentials credentials = parse_helper_answer(result.output);
            credentials.source = program;
            return credentials;
        }
        const std::string complaint = complaint_of_helper(result);
        if (complaint.find(kNotFound) != std::string::npos) return because("has none");
        return because("failed: " + complaint + "; try: echo " + server + " | " + program +
                       " get >/dev/null");
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) throw;
        return because("failed: " + error.message());
    }
}

}  // namespace prebake::registry
