#include "agent/registry/kubelet_flags.h"

#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/unit/temporary_directory.h"

namespace prebake::registry {
namespace {

TEST_CASE("the flags of the kubelet in a text") {
    const ProviderPlaces expected{.config = "/c.yaml", .programs = "/bin/dir"};
    for (const std::string text : {
             "--image-credential-provider-config=/c.yaml "
             "--image-credential-provider-bin-dir=/bin/dir",
             "--image-credential-provider-bin-dir /bin/dir --image-credential-provider-config "
             "/c.yaml",
             "ExecStart=/usr/bin/kubelet \\\n  --image-credential-provider-config=/c.yaml \\\n"
             "  --image-credential-provider-bin-dir=/bin/dir\\\n  --v=2",
             "ARGS=\"--image-credential-provider-config='/c.yaml' "
             "--image-credential-provider-bin-dir=\"/bin/dir\"\"\n",
             "X=\"--image-credential-provider-config=/old "
             "--image-credential-provider-bin-dir=/old\"\n"
             "X=\"--image-credential-provider-config=/c.yaml "
             "--image-credential-provider-bin-dir=/bin/dir\"\n",
         }) {
        CAPTURE(text);
        CHECK(provider_flags_in(text) == expected);
    }
    CHECK(provider_flags_in("--image-credential-provider-config") == ProviderPlaces());
    CHECK(provider_flags_in("--v=2") == ProviderPlaces());
}

TEST_CASE("where the providers of a machine are") {
    struct Row {
        std::string name;
        std::vector<std::pair<std::string, std::string>> files;
        ProviderPlaces expected;
    };
    const std::string flags =
        "KUBELET_EXTRA_ARGS=--image-credential-provider-config=/opt/c.yaml "
        "--image-credential-provider-bin-dir=/opt/bin\n";
    const std::string eks = "etc/eks/image-credential-provider/config.json";
    for (const Row& row : {
             Row{"nothing", {}, {}},
             Row{"EKS", {{eks, ""}}, {eks, "etc/eks/image-credential-provider"}},
             Row{"k3s",
                 {{"var/lib/rancher/credentialprovider/config.yaml", ""}},
                 {"var/lib/rancher/credentialprovider/config.yaml",
                  "var/lib/rancher/credentialprovider/bin"}},
             Row{"flags of kubeadm",
                 {{"var/lib/kubelet/kubeadm-flags.env", flags}, {"opt/c.yaml", ""}, {eks, ""}},
                 {"opt/c.yaml", "opt/bin"}},
             Row{"flags in a drop-in",
                 {{"etc/systemd/system/kubelet.service.d/10-args.conf", flags}, {"opt/c.yaml", ""}},
                 {"opt/c.yaml", "opt/bin"}},
             Row{"flags of a file that is not there yet",
                 {{"etc/default/kubelet", flags}, {eks, ""}},
                 {eks, "etc/eks/image-credential-provider"}},
         }) {
        CAPTURE(row.name);
        const TemporaryDirectory root;
        for (const auto& [file, text] : row.files) {
            std::filesystem::create_directories((root / file).parent_path());
            std::ofstream(root / file) << text;
        }
        const ProviderPlaces found = find_providers(root.path());
        CHECK(found.config == (row.expected.config.empty() ? "" : root / row.expected.config));
        CHECK(found.programs ==
              (row.expected.programs.empty() ? "" : root / row.expected.programs));
    }
}

}  // namespace
}  // namespace prebake::registry
