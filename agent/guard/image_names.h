#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/containerd/connection.h"
#include "agent/containerd/images.h"
#include "agent/oci/digest.h"

namespace prebake::guard {

/// What the guard reads and changes of the image names in containerd. Every call throws Error
/// unavailable or cancelled if containerd goes away.
class ImageNames {
  public:
    virtual ~ImageNames() = default;

    virtual std::optional<containerd::Image> get(const std::string& ns,
                                                 const std::string& name) const = 0;
    /// As containerd::Images::set_labels().
    virtual bool set_labels(const std::string& ns, const std::string& name,
                            const containerd::Labels& labels) = 0;
    /// As containerd::Content::touched_at().
    virtual std::optional<std::chrono::system_clock::time_point> touched_at(
        const std::string& ns, const oci::Digest& blob) const = 0;
};

class ContainerdImageNames final : public ImageNames {
  public:
    explicit ContainerdImageNames(const containerd::Connection& connection)
        : connection_(connection) {}

    std::optional<containerd::Image> get(const std::string& ns,
                                         const std::string& name) const override;
    bool set_labels(const std::string& ns, const std::string& name,
                    const containerd::Labels& labels) override;
    std::optional<std::chrono::system_clock::time_point> touched_at(
        const std::string& ns, const oci::Digest& blob) const override;

  private:
    const containerd::Connection& connection_;
};

}  // namespace prebake::guard
