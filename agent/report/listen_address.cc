#include "agent/report/listen_address.h"

#include <charconv>
#include <system_error>

#include "agent/base/error.h"

namespace prebake::report {

std::vector<ListenAddress> parse_listen(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    const std::string host = text.substr(0, colon);
    const std::string digits = colon == std::string::npos ? "" : text.substr(colon + 1);
    std::uint16_t port = 0;
    const char* const end = digits.data() + digits.size();
    const auto [rest, failure] = std::from_chars(digits.data(), end, port);
    if (failure == std::errc() && rest == end) {
        if (host == "localhost") {
            return {{.family = Family::v4, .port = port, .is_optional = true},
                    {.family = Family::v6, .port = port, .is_optional = true}};
        }
        if (host == "127.0.0.1") return {{.family = Family::v4, .port = port}};
        if (host == "[::1]") return {{.family = Family::v6, .port = port}};
    }
    throw Error(Errc::usage, "cannot listen on \"" + text + "\"",
                "use localhost:PORT, 127.0.0.1:PORT or [::1]:PORT: the endpoint only serves this "
                "machine");
}

std::string to_string(const ListenAddress& address) {
    return (address.family == Family::v4 ? "127.0.0.1:" : "[::1]:") + std::to_string(address.port);
}

}  // namespace prebake::report
