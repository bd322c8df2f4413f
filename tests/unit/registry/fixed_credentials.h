#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "agent/registry/credentials.h"

namespace prebake::registry {

/// The same credentials for every registry.
class FixedCredentials : public CredentialSource {
  public:
    explicit FixedCredentials(std::optional<Credentials> credentials)
        : credentials_(std::move(credentials)) {}

    static std::shared_ptr<CredentialSource> none() {
        return std::make_shared<FixedCredentials>(std::nullopt);
    }
    static std::shared_ptr<CredentialSource> of(Credentials credentials) {
        credentials.source = "the test";
        return std::make_shared<FixedCredentials>(std::move(credentials));
    }

    /// With this user, and the password "SECRET".
    static std::shared_ptr<CredentialSource> from(const std::string& source,
                                                  const std::string& user) {
        return std::make_shared<FixedCredentials>(Credentials{.username = user,
                                                              .password = "SECRET",
                                                              .identity_token = {},
                                                              .registry_token = {},
                                                              .source = source,
                                                              .note = {}});
    }

    std::optional<Credentials> find(const Repository&, const std::stop_token&) override {
        return credentials_;
    }

  private:
    std::optional<Credentials> credentials_;
};

}  // namespace prebake::registry
