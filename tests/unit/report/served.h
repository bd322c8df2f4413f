#pragma once

#include <grp.h>
#include <unistd.h>

#include <mutex>
#include <string>
#include <vector>

#include "agent/report/endpoint.h"
#include "agent/report/status_holder.h"
#include "tests/unit/report/stream_client.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::report {

inline NodeView view_of(bool is_ready) {
    NodeView view;
    view.status.set_schema("prebake.v1.NodeStatus");
    view.status.set_verdict(is_ready ? "ready" : "not_ready");
    view.status.set_message(is_ready ? "all is well" : "images are missing");
    view.status.set_ready(is_ready);
    view.ledger.set_schema("prebake.v1.Ledger");
    return view;
}

/// An endpoint on a socket and on ports of the kernel's choice, and its StatusHolder.
class Served {
  public:
    /// `options` without addresses.
    explicit Served(EndpointOptions options = {})
        : endpoint_(with_addresses(std::move(options)), holder_,
                    [this](const std::string& problem) {
                        const std::scoped_lock lock(mutex_);
                        problems_.push_back(problem);
                    }) {}

    std::string socket() const { return (directory_ / "d/s").string(); }
    /// The first TCP address.
    std::string tcp() const { return endpoint_.addresses().front(); }
    StreamClient client() const { return StreamClient(socket()); }
    Endpoint& endpoint() { return endpoint_; }

    void publish(NodeView view) {
        holder_.publish(std::move(view));
        endpoint_.status_changed();
    }
    /// Afterwards the endpoint has processed everything that was sent before.
    unsigned answer_now() const { return client().get("/livez").read_reply().status; }

    std::vector<std::string> problems() {
        const std::scoped_lock lock(mutex_);
        return problems_;
    }

    static std::string own_group() {
        const group* const entry = ::getgrgid(::getegid());
        return entry ? entry->gr_name : "";
    }

  private:
    EndpointOptions with_addresses(EndpointOptions options) const {
        options.socket = socket();
        options.socket_group = own_group();
        options.listen = {"localhost:0"};
        return options;
    }

    TemporaryDirectory directory_;
    StatusHolder holder_;
    std::mutex mutex_;
    std::vector<std::string> problems_;
    Endpoint endpoint_;
};

}  // namespace prebake::report
