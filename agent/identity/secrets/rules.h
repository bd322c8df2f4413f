#pragma once

#include <vector>

#include "agent/identity/secrets/rule.h"

namespace prebake::identity::secrets {

const std::vector<SecretRule>& secret_rules();

}  // namespace prebake::identity::secrets
