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
    /// Creates the image, or points the existing one at the target and sets the given labels (an
    /// empty value deletes one), leaving labels that others wrote.
    void put(const Image& image) const;
    /// Sets the given labels of an existing name (an empty value deletes one), whatever it points
    /// at. False if there is no such name.
    bool set_labels(const std::string& name, const Labels& labels) const;
    /// A name that does not exist is fine.
    void remove(const std::string& name) const;

  private:
    const Connection& connection_;
    Scope scope_;
};

}  // namespace prebake::containerd
