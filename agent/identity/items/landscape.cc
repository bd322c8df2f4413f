#include "agent/identity/items/all.h"

namespace prebake::identity {

Item landscape_item() {
    return {
        .name = "landscape",
        .order = 790,
        .why = "All clones would be one computer to Landscape.",
        .back = "landscape-client(8) registers the clone when it next starts.",
        .targets =
            {
                {Target::What::file, "/var/lib/landscape/client/broker.bpickle*"},
                {Target::What::contents, "/var/lib/landscape/client/messages"},
            },
    };
}

}  // namespace prebake::identity
