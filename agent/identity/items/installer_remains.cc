#include "agent/identity/items/all.h"

namespace prebake::identity {

Item installer_remains_item() {
    return {
        .name = "installer-remains",
        .order = 990,
        .why =
            "The answers to the installer's questions, the password hash of root among them, "
            "would be on every clone.",
        .back = "Nobody.",
        .targets =
            {
                {Target::What::file, "/root/anaconda-ks.cfg"},
                {Target::What::file, "/root/original-ks.cfg"},
                {Target::What::file, "/root/initial-setup-ks.cfg"},
                {Target::What::file, "/root/anaconda-post.log"},
                {Target::What::file, "/root/install.log"},
                {Target::What::file, "/root/install.log.syslog"},
                {Target::What::file, "/var/log/installer"},
                {Target::What::file, "/var/log/anaconda"},
                // debconf's answers of type password.
                {Target::What::bytes, "/var/cache/debconf/passwords.dat"},
                {Target::What::file, "/var/cache/debconf/passwords.dat-old"},
            },
    };
}

}  // namespace prebake::identity
