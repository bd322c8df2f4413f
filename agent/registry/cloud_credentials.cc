#include "agent/registry/cloud_credentials.h"

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

const char* advice_of(Cloud cloud) {
    switch (cloud) {
        case Cloud::ecr:
            return "install the package amazon-ecr-credential-helper (or the AWS CLI), and allow "
                   "the role of this instance ecr:GetAuthorizationToken, ecr:BatchGetImage and "
                   "ecr:GetDownloadUrlForLayer";
        case Cloud::ecr_public:
            return "install the package amazon-ecr-credential-helper (or the AWS CLI), and allow "
                   "the role of this instance ecr-public:GetAuthorizationToken and "
                   "sts:GetServiceBearerToken";
        case Cloud::google:
            return "install docker-credential-gcr or the package google-cloud-cli, and give the "
                   "service account of this instance the role artifactregistry.reader";
        case Cloud::azure:
            return "install docker-credential-acr-env, and give the identity of this machine the "
                   "role AcrPull";
        case Cloud::none:
            break;
    }
    return "";
}

void add_note(std::string& notes, const std::string& note) {
    if (!note.empty()) notes += (notes.empty() ? "" : "; ") + note;
}

}  // namespace

CloudCredentials::CloudCredentials(std::shared_ptr<CredentialHelpers> helpers, RunProgram run,
                                   TimeSource clock)
    : helpers_(std::move(helpers)), run_(std::move(run)), clock_(std::move(clock)) {}

std::optional<Credentials> CloudCredentials::find(const Repository& repository,
                                                  const std::stop_token& stop) {
    const CloudRegistry registry = cloud_registry(repository.registry);
    if (registry.cloud == Cloud::none) return std::nullopt;
    std::string notes;
    Credentials credentials = from_helpers(registry, repository, stop, notes);
    if (!credentials.anonymous()) return credentials;
    const bool is_aws = registry.cloud == Cloud::ecr || registry.cloud == Cloud::ecr_public;
    if (is_aws) credentials = from_aws(registry, stop, notes);
    if (!credentials.anonymous()) return credentials;
    add_note(notes, advice_of(registry.cloud));
    credentials.note = std::move(notes);
    return credentials;
}

Credentials CloudCredentials::from_helpers(CloudRegistry registry, const Repository& repository,
                                           const std::stop_token& stop, std::string& notes) {
    for (const std::string& helper : helpers_of(registry.cloud)) {
        if (!is_program("docker-credential-" + helper)) continue;
        Credentials credentials = helpers_->get(helper, "the registry's kind", repository, stop);
        if (!credentials.anonymous()) return credentials;
        add_note(notes, credentials.note);
    }
    return {};
}

Credentials CloudCredentials::from_aws(const CloudRegistry& registry, const std::stop_token& stop,
                                       std::string& notes) {
    if (!is_program("aws")) return {};
    const std::string service = registry.cloud == Cloud::ecr ? "ecr" : "ecr-public";
    const std::string command =
        "aws " + service + " get-login-password --region " + registry.region;
    // One at a time: a caller that waits here gets the answer of the other.
    const std::scoped_lock lock(mutex_);
    Password& password = passwords_[command];
    if (password.text.empty() || clock_().steady >= password.expires) {
        try {
            const CommandResult result =
                run_(external_program(
                         {"aws", service, "get-login-password", "--region", registry.region}, {}),
                     stop);
            if (result.status != 0) {
                add_note(notes, command + " failed: " + complaint_of(result));
                return {};
            }
            password.text = trimmed(result.output);
            password.expires = clock_().steady + kPasswordKept;
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled) throw;
            add_note(notes, command + " failed: " + error.message());
            return {};
        }
    }
    return {.username = kAwsUser,
            .password = password.text,
            .identity_token = {},
            .registry_token = {},
            .source = command,
            .note = {}};
}

}  // namespace prebake::registry
