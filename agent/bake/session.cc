#include "agent/bake/session.h"

#include "agent/bake/outlast.h"

namespace prebake::bake {

void Session::outlast_restart(const std::string& image, const std::function<void()>& work) const {
    if (!outlasts_restarts) return work();
    bake::outlast_restart(
        connection, [&] { notice(image, "containerd went away; waiting until it is back"); }, work);
}

}  // namespace prebake::bake
