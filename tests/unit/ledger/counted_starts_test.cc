#include "agent/ledger/counted_starts.h"

#include <doctest/doctest.h>

namespace prebake::ledger {
namespace {

TEST_CASE("the oldest starts are dropped beyond the limit") {
    CountedStarts starts;
    for (std::size_t i = 0; i <= kMaxCountedStarts; ++i) starts.add("a", std::to_string(i));
    starts.add("a", "1");
    CHECK_FALSE(starts.contains("a", "0"));
    CHECK(starts.contains("a", "1"));
    CHECK_FALSE(starts.contains("b", "1"));
    v1::LedgerState ledger;
    starts.store(*ledger.mutable_counted());
    CHECK(ledger.counted_size() == static_cast<int>(kMaxCountedStarts));
    CHECK(ledger.counted(0).key() == "1");
    CountedStarts loaded;
    loaded.load(ledger.counted());
    CHECK(loaded.contains("a", std::to_string(kMaxCountedStarts)));
}

TEST_CASE("a start ends, is renamed, or a listing does not find it") {
    CountedStarts starts;
    starts.add("a", "x-init-key");
    starts.add("a", "y");
    starts.add("b", "y");
    CHECK(starts.rename("a", "x-init-key", "x-init"));
    CHECK_FALSE(starts.rename("a", "x-init-key", "z"));
    CHECK(starts.keys_ending("a", "-init") == std::vector<std::string>{"x-init"});
    CHECK(starts.retain("a", [](const std::string& key) { return key != "y"; }));
    CHECK_FALSE(starts.contains("a", "y"));
    CHECK(starts.remove("b", "y"));
    CHECK_FALSE(starts.remove("b", "y"));
    CHECK(starts.contains("a", "x-init"));
}

}  // namespace
}  // namespace prebake::ledger
