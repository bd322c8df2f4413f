#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/http/message.h"

/// Servers repeat in their errors what they were sent. Pure.
namespace prebake::registry {

/// What a request shows to the server, and messages must not show to anybody: tokens and passwords
/// of its Authorization, form and URL, the query of the URL, which may be a signature, and headers
/// of a hosts.toml. Basic credentials are in it with and without their base64 form.
std::vector<std::string> secrets_in(const http::Request& request);

/// `line` with "…" in place of each secret, also where a secret is percent-encoded, encoded as in a
/// form, or has escapes of JSON, HTML or XML. White space in `line` has to be single spaces.
std::string without_secrets(std::string_view line, const std::vector<std::string>& secrets);

}  // namespace prebake::registry
