// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Words of the domain to text and back, and the list of exits.
#include "model/types.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "maps/counters.h"
#include "maps/reason.h"

namespace underpass {
namespace {

TEST(Types, MacAddress) {
    const MacAddr mac{{0x02, 0xab, 0, 1, 0xff, 0x10}};
    EXPECT_EQ(mac.text(), "02:ab:00:01:ff:10");
    EXPECT_EQ(MacAddr::parse(mac.text()), mac);
    EXPECT_EQ(MacAddr::parse("02:AB:00:01:fF:10"), mac);
    for (const char* wrong : {"", "02", "02:ab:00:01:ff", "02:ab:00:01:ff:1", "02:ab:00:01:ff:100", "02-ab-00-01-ff-10",
                              "02:ab:00:01:ff:1g", "2:ab:00:01:ff:100", " 02:ab:00:01:ff:10", "02:ab:00:01:ff:10 ",
                              "02ab0001ff10", "02:ab:00:01:ff:10:00"})
        EXPECT_EQ(MacAddr::parse(wrong), std::nullopt) << wrong;
}

TEST(Types, HookChoice) {
    EXPECT_EQ(parse_hook_choice("auto"), HookChoice::automatic);
    EXPECT_EQ(parse_hook_choice("tc"), HookChoice::tc);
    EXPECT_EQ(parse_hook_choice("xdp"), HookChoice::xdp);
    for (const char* wrong : {"", "kernel", "XDP", "tc ", "automatic"})
        EXPECT_EQ(parse_hook_choice(wrong), std::nullopt) << wrong;
    EXPECT_STREQ(name(Hook::kernel), "kernel");
    EXPECT_STREQ(name(Hook::tc), "tc");
    EXPECT_STREQ(name(Hook::xdp), "xdp");
}

TEST(Reasons, NamesAreWordsAndUnique) {
    const std::string names[] = {
#define X(symbol, name, sentence) name,
        REASONS(X)
#undef X
    };
    const std::string sentences[] = {
#define X(symbol, name, sentence) (sentence),
        REASONS(X)
#undef X
    };
    static_assert(std::size(names) == REASON_COUNT);
    // The counters of a running system are adopted by index: no more reasons than there is room for.
    static_assert(int{REASON_COUNT} <= int{REASON_SLOTS});
    static_assert(REASON_FORWARDED == 0);
    std::set<std::string> seen;
    for (const std::string& name : names) {
        EXPECT_TRUE(seen.insert(name).second) << name << " is there twice";
        EXPECT_FALSE(name.empty());
        EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), std::string::npos) << name;
    }
    std::set<std::string> said;
    for (const std::string& sentence : sentences) {
        EXPECT_FALSE(sentence.empty());
        EXPECT_TRUE(said.insert(sentence).second) << sentence;
    }
}

}  // namespace
}  // namespace underpass
