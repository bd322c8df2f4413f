#include "agent/registry/duration.h"

namespace prebake::registry {

std::string in_seconds(std::chrono::milliseconds duration) {
    return std::to_string(duration.count() / 1000) + "." +
           std::to_string(duration.count() / 100 % 10) + " s";
}

}  // namespace prebake::registry
