#pragma once

#include <memory>
#include <utility>

#include "agent/bake/layer_source.h"
#include "agent/bake/stage_times.h"
#include "agent/containerd/blob_writer.h"

namespace prebake::bake {

/// A source whose reads count as `stage`.
class TimedReads final : public Source {
  public:
    TimedReads(std::unique_ptr<Source> from, StageTimes& times, Stage stage)
        : from_(std::move(from)), times_(times), stage_(stage) {}
    std::size_t read(std::span<std::byte> buffer) override {
        const StageTimer timer(times_, stage_);
        return from_->read(buffer);
    }

  private:
    std::unique_ptr<Source> from_;
    StageTimes& times_;
    Stage stage_;
};

/// A writer whose work counts as Stage::storing and Stage::committing.
class TimedWriter final : public containerd::BlobWriter {
  public:
    TimedWriter(std::unique_ptr<containerd::BlobWriter> to, StageTimes& times)
        : to_(std::move(to)), times_(times) {}
    std::uint64_t offset() const override { return to_->offset(); }
    std::optional<FileDescriptor> readable_file() const override { return to_->readable_file(); }
    bool is_in_place() const override { return to_->is_in_place(); }
    void write(std::span<const std::byte> bytes) override {
        const StageTimer timer(times_, Stage::storing);
        to_->write(bytes);
    }
    void commit(const containerd::Labels& labels) override {
        const StageTimer timer(times_, Stage::committing);
        to_->commit(labels);
    }

  private:
    std::unique_ptr<containerd::BlobWriter> to_;
    StageTimes& times_;
};

/// Layers from elsewhere; what they take counts as Stage::receiving.
class TimedLayers final : public LayerSource {
  public:
    TimedLayers(LayerSource& from, StageTimes& times) : from_(from), times_(times) {}
    std::unique_ptr<Source> open(const oci::Reference& repository, const oci::Descriptor& layer,
                                 std::uint64_t offset, const std::stop_token& stop) override {
        const StageTimer timer(times_, Stage::receiving);
        return std::make_unique<TimedReads>(from_.open(repository, layer, offset, stop), times_,
                                            Stage::receiving);
    }

  private:
    LayerSource& from_;
    StageTimes& times_;
};

}  // namespace prebake::bake
