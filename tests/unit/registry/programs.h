#pragma once

#include <stdlib.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "tests/unit/temporary_directory.h"

namespace prebake::tests {

/// A variable of the environment, until the end of the scope.
class Environment {
  public:
    Environment(const char* name, const std::string& value) : name_(name) {
        if (const char* old = std::getenv(name)) old_ = old;
        ::setenv(name, value.c_str(), 1);
    }
    ~Environment() {
        if (old_) {
            ::setenv(name_, old_->c_str(), 1);
        } else {
            ::unsetenv(name_);
        }
    }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

  private:
    const char* name_;
    std::optional<std::string> old_;
};

/// Scripts in a directory of their own, which is the first of $PATH.
class Programs {
  public:
    Programs() : path_("PATH", directory_.path().string() + ":" + std::getenv("PATH")) {}

    void add(const std::string& name, const std::string& script) const {
        const std::filesystem::path file = directory_ / name;
        std::ofstream(file) << "#!/bin/sh\n" << script << "\n";
        ::chmod(file.c_str(), 0755);
    }
    /// A file of the scripts, which run in no directory of their own.
    std::filesystem::path file(const std::string& name) const { return directory_ / name; }
    std::string read(const std::string& name) const {
        std::ifstream stream(file(name));
        return {std::istreambuf_iterator<char>(stream), {}};
    }

  private:
    TemporaryDirectory directory_;
    Environment path_;
};

}  // namespace prebake::tests
