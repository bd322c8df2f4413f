#include "agent/registry/cloud_credentials.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/text.h"

namespace prebake::registry {
namespace {

/// ECR's passwords are valid for twelve hours.
constexpr std::chrono::hours kPasswordKept{1};
constexpr const char* kAwsUser = "AWS";

/// Without "docker-credential-", the preferred one first.
std::vector<std::string> helpers_of(Cloud cloud) {
    switch (cloud) {
        case Cloud::ecr:
        case Cloud::ecr_public:
            return {"ecr-login"};
        case Cloud::google:
            return {"gcr", "gcloud"};
        case Cloud::azure:
            return {"acr-env"};
        case Cloud::none:
            break;
    }
    return {};
}

/// Whether ID or ID_LIKE of os-release(5) has the word.
bool is_like(std::string_view os_release, std::string_view distribution) {
    while (!os_release.empty()) {
        std::string_view line = os_release.substr(0, os_release.find('\n'));
        os_release.remove_prefix(std::min(line.size() + 1, os_release.size()));
        const std::size_t equals = line.find('=');
        const std::string_view key = line.substr(0, equals);
        if (equals == std::string_view::npos || (key != "ID" && key != "ID_LIKE")) continue;
        std::string words = " " + std::string(line.substr(equals + 1)) + " ";
        std::ranges::replace_if(
            words, [](char c) { return c == '"' || c == '\''; }, ' ');
        if (words.find(" " + std::string(distribution) + " ") != std::string::npos) return true;
    }
    return false;
}

std::string installing_for_aws(std::string_view os_release) {
    // Also in Amazon Linux 2023. RHEL and SUSE have no package of it.
    for (const auto& [distribution, command] :
         {std::pair{"debian", "apt-get install"}, {"amzn", "dnf install"}}) {
        if (is_like(os_release, distribution)) {
            return "run " + std::string(command) + " amazon-ecr-credential-helper";
        }
    }
    return "put docker-credential-ecr-login (https://github.com/awslabs/"
           "amazon-ecr-credential-helper) or the AWS CLI into a directory of $PATH";
}

void add_note(std::string& notes, const std::string& note) {
    if (!note.empty()) notes += (notes.empty() ? "" : "; ") + note;
}

}  // namespace

CloudAdvice advice_for(Cloud cloud, std::string_view os_release) {
    switch (cloud) {
        case Cloud::ecr:
            return {.install = installing_for_aws(os_release),
                    .allow =
                        "allow the role of this instance ecr:GetAuthorizationToken, "
                        "ecr:BatchGetImage and ecr:GetDownloadUrlForLayer"};
        case Cloud::ecr_public:
            return {.install = installing_for_aws(os_release),
                    .allow =
                        "allow the role of this instance ecr-public:GetAuthorizationToken and "
                        "sts:GetServiceBearerToken"};
        case Cloud::google:
            return {.install = "install docker-credential-gcr or the package google-cloud-cli",
                    .allow =
                        "give the service account of this instance the role "
                        "artifactregistry.reader"};
        case Cloud::azure:
            return {.install = "install docker-credential-acr-env",
                    .allow = "give the identity of this machine the role AcrPull"};
        case Cloud::none:
            break;
    }
    return {};
}

CloudCredentials::CloudCredentials(std::shared_ptr<CredentialHelpers> helpers,
                                   std::string_view os_release, RunProgram run, TimeSource clock)
    : helpers_(std::move(helpers)),
      os_release_(os_release),
      run_(std::move(run)),
      clock_(std::move(clock)) {}

std::optional<Credentials> CloudCredentials::find(const Repository& repository,
                                                  const std::stop_token& stop) {
    const CloudRegistry registry = cloud_registry(repository.registry);
    if (registry.cloud == Cloud::none) return std::nullopt;
    std::string notes;
    Credentials credentials = from_helpers(registry, repository, stop, notes);
    if (!credentials.anonymous()) return credentials;
    const bool is_aws = registry.cloud == Cloud::ecr || registry.cloud == Cloud::ecr_public;
    if (is_aws) credentials = from_aws(registry, stop);
    if (!credentials.anonymous()) return credentials;
    add_note(notes, credentials.note);
    const CloudAdvice advice = advice_for(registry.cloud, os_release_);
    // A program that failed need not be installed.
    add_note(notes, notes.empty() ? advice.install + ", and " + advice.allow : advice.allow);
    credentials.note = std::move(notes);
    return credentials;
}

Credentials CloudCredentials::from_helpers(const CloudRegistry& registry,
                                           const Repository& repository,
                                           const std::stop_token& stop, std::string& notes) {
    for (const std::string& helper : helpers_of(registry.cloud)) {
        if (!is_program("docker-credential-" + helper)) continue;
        Credentials credentials = helpers_->get(helper, "the registry's kind", repository, stop);
        if (!credentials.anonymous()) return credentials;
        add_note(notes, credentials.note);
    }
    return {};
}

Credentials CloudCredentials::from_aws(const CloudRegistry& registry, const std::stop_token& stop) {
    if (!is_program("aws")) return {};
    const std::vector<std::string> arguments{"aws",
                                             registry.cloud == Cloud::ecr ? "ecr" : "ecr-public",
                                             "get-login-password", "--region", registry.region};
    const std::string command = joined(arguments, " ");
    // One at a time: a caller that waits here gets the answer of the other.
    const std::scoped_lock lock(mutex_);
    const auto known = answers_.find(command);
    if (known != answers_.end() && clock_().steady < known->second.expires) {
        return known->second.credentials;
    }
    Credentials credentials;
    try {
        const CommandResult result = run_(external_program(arguments, {}), stop);
        const std::string_view password = trimmed(result.output);
        if (result.status != 0) {
            credentials.note = command + " failed: " + complaint_of(result);
        } else if (password.empty()) {
            credentials.note = command + " printed no password";
        } else {
            credentials.username = kAwsUser;
            credentials.password = password;
            credentials.source = command;
        }
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) throw;
        credentials.note = command + " failed: " + error.message();
    }
    const auto kept = credentials.anonymous() ? kFailureKept : kPasswordKept;
    answers_.insert_or_assign(
        command, Answer{.credentials = credentials, .expires = clock_().steady + kept});
    return credentials;
}

}  // namespace prebake::registry
