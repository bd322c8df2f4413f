#pragma once

#include <fcntl.h>

#include <cstdio>
#include <filesystem>
#include <thread>

namespace prebake::tests {

/// An attacker: exchanges two files without end while it lives (renameat2(2), RENAME_EXCHANGE).
class Exchanger {
  public:
    Exchanger(const std::filesystem::path& one, const std::filesystem::path& other)
        : thread_([one, other](const std::stop_token& stop) {
              while (!stop.stop_requested())
                  ::renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE);
          }) {}

  private:
    std::jthread thread_;
};

}  // namespace prebake::tests
