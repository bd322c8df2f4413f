#include "agent/report/port_owner.h"

#include <fstream>
#include <iomanip>
#include <sstream>

namespace prebake::report {
namespace {

constexpr const char* kListening = "0A";
// The words of an address are in the byte order of the machine, which is little endian on all that
// we are built for.
constexpr const char* kLoopback4 = "0100007F";
constexpr const char* kAny4 = "00000000";
constexpr const char* kLoopback6 = "00000000000000000000000001000000";
constexpr const char* kAny6 = "00000000000000000000000000000000";
constexpr const char* kMapped4 = "0000000000000000FFFF00000100007F";

std::optional<uid_t> look_up(const char* path, const std::vector<std::string>& locals,
                             std::uint16_t port) {
    std::ifstream table(path);
    return owner_in_table(table, locals, port);
}

}  // namespace

std::optional<uid_t> owner_in_table(std::istream& table, const std::vector<std::string>& locals,
                                    std::uint16_t port) {
    std::ostringstream suffix;
    suffix << ':' << std::hex << std::uppercase << std::setw(4) << std::setfill('0') << port;
    for (std::string line; std::getline(table, line);) {
        // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid
        std::istringstream fields(line);
        std::string number, local, remote, state, queues, timer, retransmits;
        uid_t user = 0;
        if (!(fields >> number >> local >> remote >> state >> queues >> timer >> retransmits >>
              user) ||
            state != kListening) {
            continue;
        }
        for (const std::string& address : locals) {
            if (local == address + suffix.str()) return user;
        }
    }
    return {};
}

std::optional<uid_t> owner_of_port(const ListenAddress& address) {
    if (address.family == Family::v6) {
        return look_up("/proc/net/tcp6", {kLoopback6, kAny6}, address.port);
    }
    if (auto user = look_up("/proc/net/tcp", {kLoopback4, kAny4}, address.port)) return user;
    return look_up("/proc/net/tcp6", {kAny6, kMapped4}, address.port);
}

}  // namespace prebake::report
