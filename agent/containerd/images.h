#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"
#include "agent/oci/manifest.h"

namespace prebake::containerd {

struct Image {
    std::string name;
    Labels labels;
    oci::Descriptor target;
};

/// containerd.services.images.v1
class Images {
  public:
    Images(const Connection& connection, Scope scope);

    std::optional<Image> get(const std::string& name) const;
    std::vector<Image> list() const;
    /// Creates the image, or changes the target and the given labels of an existing one (an empty
    /// value deletes a label). Other labels stay.
    void put(const Image& image) const;
    /// Sets the given labels of an existing name (an empty value deletes one), whatever its target
    /// is. False if there is no such name.
    bool set_labels(const std::string& name, const Labels& labels) const;
    /// Does nothing if there is no such name.
    void remove(const std::string& name) const;

  private:
    const Connection& connection_;
    Scope scope_;
};

}  // namespace prebake::containerd
