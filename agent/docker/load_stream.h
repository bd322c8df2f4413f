#pragma once

#include <string>

#include "agent/docker/documents.h"

namespace prebake::docker {

/// What the lines of a load's stream say so far. With the containerd store, an image that could not
/// be unpacked is no error for dockerd, but a line of text. Pure.
class LoadStream {
  public:
    void take(const StreamLine& line);

    bool has_loaded() const { return has_loaded_; }
    /// The line about an image that could not be unpacked; empty if there is none.
    const std::string& failure() const { return failure_; }

  private:
    bool has_loaded_ = false;
    std::string failure_;
};

}  // namespace prebake::docker
