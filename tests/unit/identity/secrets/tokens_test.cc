#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/identity/secrets/judges.h"
#include "agent/identity/secrets/patterns.h"
#include "agent/identity/secrets/rules.h"
#include "tests/unit/identity/secrets/planted_secrets.h"

namespace prebake::identity::secrets {
namespace {

using tests::noise;

std::string kinds_in(const std::vector<SecretInText>& found) {
    std::string text;
    for (const SecretInText& secret : found)
        text += (text.empty() ? "" : ", ") + std::string(secret.kind);
    return text;
}

/// Characters of the alphabet, without a pattern.
std::string token_of(Alphabet alphabet, std::size_t length) {
    std::string all;
    for (char c = '!'; c <= '~'; ++c) {
        // A '=' ends words, a '.' in a row of three stands for an omission.
        if (is_of(alphabet, c) && c != '=' && c != '.') all += c;
    }
    return noise(length, all);
}

TEST_CASE("tokens of all issuers: long enough, of their alphabet, at the beginning of a word") {
    std::size_t forms = 0;
    for (const SecretRule& rule : secret_rules()) {
        if (rule.judge != judge_token) continue;
        ++forms;
        const std::string needle(rule.needle);
        CAPTURE(needle);
        const std::string path = "/srv/data/file";  // no settings: the form alone counts
        const auto found = [&](const std::string& text) {
            return kinds_in(secrets_in(path, text));
        };
        const std::string expected(rule.kind);
        const std::string token = token_of(rule.alphabet, rule.at_least);
        CHECK(found(needle + token) == expected);
        CHECK(found("x: '" + needle + token + "',") == expected);
        CHECK(found("{\"x\":\"" + needle + token + "\"}") == expected);
        CHECK(found("TOKEN=" + needle + token + "\n") == expected);
        CHECK(found(needle + token.substr(1)).empty());
        CHECK(found(needle + token.substr(1) + " " + token).empty());
        CHECK(found(needle + "!" + token).empty());
        CHECK(found(needle + std::string(rule.at_least, 'X')).empty());
        CHECK(found(needle + "EXAMPLE" + token.substr(7)).empty());
        if (is_of(Alphabet::word, needle.front())) CHECK(found("x" + needle + token).empty());
        if (rule.at_most == kMaxToken)
            CHECK(found(needle + token + token) == expected);
        else
            CHECK(found(needle + token_of(rule.alphabet, rule.at_most + 1)).empty());
    }
    CHECK(forms > 35);
}

}  // namespace
}  // namespace prebake::identity::secrets
