#include "agent/identity/items/all.h"

namespace prebake::identity {

Item kubernetes_credentials_item() {
    return {
        .name = "kubernetes-credentials",
        .order = 620,
        .why = "Whoever has the image could act in the clusters of the one who built it.",
        .back = "Nobody; a person gets a kubeconfig from the cluster.",
        .targets =
            {
                {Target::What::file, "~/.kube"},
            },
    };
}

}  // namespace prebake::identity
