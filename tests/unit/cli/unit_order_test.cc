#include "agent/cli/unit_order.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/machine/test_tree.h"

namespace prebake::cli {
namespace {

TEST_CASE("units that start containerd and wait for our target") {
    static const std::string of_a_unit = "/run/containerd/containerd.sock";
    using Files = std::vector<std::pair<std::string, std::string>>;
    const std::string etc = "/etc/systemd/system/";
    const std::string lib = "/usr/lib/systemd/system/";
    const std::string after = "[Unit]\nAfter=prebake-ready.target\n";
    struct Row {
        std::string name;
        Files files;
        std::string expected;  // the file; "" if nothing is found
        bool is_ordered = false;
        std::string address = of_a_unit;
        bool needs_docker = false;
    };
    const std::string of_docker = "/run/docker/containerd/containerd.sock";
    const std::string link = ".wants/prebake-ready.target";
    const std::vector<Row> rows{
        {"a drop-in",
         {{etc + "k3s.service.d/wait.conf", after}},
         etc + "k3s.service.d/wait.conf",
         true},
        {"the unit", {{etc + "rke2-server.service", after}}, etc + "rke2-server.service", true},
        {"a package's unit", {{lib + "k0sworker.service", after}}, lib + "k0sworker.service", true},
        {"a package's unit that is replaced",
         {{lib + "k3s.service", after}, {etc + "k3s.service", "[Unit]\n"}},
         ""},
        {"among others",
         {{etc + "k3s.service", "[Unit]\nAfter = network.target prebake-ready.target a.target\n"}},
         etc + "k3s.service",
         true},
        {"on a continued line",
         {{etc + "k3s.service", "[Unit]\nAfter=network.target \\\n  prebake-ready.target\n"}},
         etc + "k3s.service",
         true},
        {"the service behind the target",
         {{etc + "k3s-agent.service", "[Unit]\nAfter=prebake-wait-ready.service\n"}},
         etc + "k3s-agent.service",
         true},
        {"from our side",
         {{etc + "prebake-ready.target.d/k3s.conf", "[Unit]\nBefore=k3s.service\n"}},
         etc + "prebake-ready.target.d/k3s.conf",
         true},
        {"systemctl add-wants",
         {{etc + "k3s.service.wants/prebake-ready.target", ""}},
         etc + "k3s.service.wants/prebake-ready.target"},
        {"systemctl add-requires",
         {{etc + "rke2-agent.service.requires/prebake-ready.target", ""}},
         etc + "rke2-agent.service.requires/prebake-ready.target"},
        {"wanted, then ordered",
         {{etc + "k3s.service.wants/prebake-ready.target", ""},
          {etc + "k3s.service.d/wait.conf", after}},
         etc + "k3s.service.d/wait.conf",
         true},
        {"containerd's own",
         {{etc + "containerd.service.d/a.conf", after}},
         etc + "containerd.service.d/a.conf",
         true},
        {"nodeadm, which starts containerd",
         {{etc + "nodeadm-run.service.d/a.conf", after}},
         etc + "nodeadm-run.service.d/a.conf",
         true},
        {"K3s with a name of its own",
         {{etc + "k3s-edge.service.d/a.conf", after}},
         etc + "k3s-edge.service.d/a.conf",
         true},
        {"k0s with a name of its own",
         {{etc + "k0s-edge.service", after}},
         etc + "k0s-edge.service",
         true},
        {"MicroK8s",
         {{etc + "snap.microk8s.daemon-containerd.service.d/a.conf", after}},
         etc + "snap.microk8s.daemon-containerd.service.d/a.conf",
         true},
        {"Canonical Kubernetes",
         {{etc + "snap.k8s.containerd.service" + link, ""}},
         etc + "snap.k8s.containerd.service" + link},
        {"Docker's snap",
         {{etc + "snap.docker.dockerd.service.d/a.conf", after}},
         etc + "snap.docker.dockerd.service.d/a.conf",
         true},
        {"another snap", {{etc + "snap.docker.nvidia.service.d/a.conf", after}}, ""},
        {"upheld",
         {{etc + "k3s.service.upholds/prebake-ready.target", ""}},
         etc + "k3s.service.upholds/prebake-ready.target"},
        {"upheld by the unit",
         {{etc + "k3s.service", "[Unit]\nUpholds=prebake-ready.target\n"}},
         etc + "k3s.service"},
        {"a drop-in for all units with a prefix",
         {{etc + "rke2-agent.service", "[Unit]\n"}, {etc + "rke2-.service.d/a.conf", after}},
         etc + "rke2-.service.d/a.conf",
         true},
        {"a drop-in for all services",
         {{lib + "k3s.service", "[Unit]\n"}, {etc + "service.d/a.conf", after}},
         etc + "service.d/a.conf",
         true},
        {"a drop-in for a prefix that no unit has", {{etc + "k3s-.service.d/a.conf", after}}, ""},
        {"from our side, in a drop-in for a prefix",
         {{etc + "prebake-.target.d/a.conf", "[Unit]\nBefore=k3s.service\n"}},
         etc + "prebake-.target.d/a.conf",
         true},
        {"Docker with a containerd that is a unit, and nothing was baked for Docker",
         {{etc + "docker.service.d/a.conf", after}},
         ""},
        {"Docker with a containerd of its own",
         {{etc + "docker.service.d/a.conf", after}},
         etc + "docker.service.d/a.conf",
         true,
         of_docker},
        {"the same by its other name, wanted in a drop-in",
         {{etc + "docker.service.d/a.conf", "[Unit]\nWants=prebake-ready.target\n"}},
         etc + "docker.service.d/a.conf",
         false,
         "/var" + of_docker},
        {"images were baked for Docker",
         {{etc + "docker.service.d/a.conf", after}},
         etc + "docker.service.d/a.conf",
         true,
         of_a_unit,
         true},
        {"from our side, and images were baked for Docker",
         {{etc + "prebake-ready.target.d/docker.conf", "[Unit]\nBefore=docker.service\n"}},
         etc + "prebake-ready.target.d/docker.conf",
         true,
         of_a_unit,
         true},
        {"Docker wants it, and images were baked for Docker",
         {{etc + "docker.service" + link, ""}},
         etc + "docker.service" + link,
         false,
         of_a_unit,
         true},
        {"what uses Docker may wait",
         {{etc + "ecs.service" + link, ""}, {etc + "app.service.d/a.conf", after}},
         "",
         false,
         of_a_unit,
         true},
        {"a comment", {{etc + "k3s.service", "[Unit]\n#After=prebake-ready.target\n"}}, ""},
        {"another key", {{etc + "k3s.service", "[Unit]\nBefore=prebake-ready.target\n"}}, ""},
        {"another target", {{etc + "k3s.service", "[Unit]\nAfter=my-prebake-ready.target\n"}}, ""},
        {"the kubelet may wait", {{etc + "kubelet.service.wants/prebake-ready.target", ""}}, ""},
        {"not a drop-in", {{etc + "k3s.service.d/wait.conf.off", after}}, ""},
        {"nothing", {}, ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const tests::TestTree tree;
        for (const auto& file : row.files) tree.put(file.first, file.second);
        const std::vector<UnitThatWaits> found =
            units_that_wait(tree.root(), row.address, row.needs_docker);
        CHECK(found.size() == (row.expected.empty() ? 0 : 1));
        if (found.size() != 1) continue;
        CHECK(found[0].file == row.expected);
        CHECK(found[0].is_ordered == row.is_ordered);
        CHECK(describe(found[0]).find(row.expected) != std::string::npos);
        CHECK(describe(found[0]).find(found[0].unit) != std::string::npos);
        CHECK(found[0].starts == (row.needs_docker ? "dockerd" : "containerd"));
    }
}

}  // namespace
}  // namespace prebake::cli
