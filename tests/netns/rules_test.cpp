// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rules that see bridged frames, made with the tools that people use: obeyed exactly as without Underpass, whether they
// were there before or come while frames go fast, and named as the reason. Once they are gone, frames go fast again.
//
// Of the frames from A to B those to UDP port 9 are forbidden by each rule, and those to port 10 are not: not one of
// the latter may be lost, whatever changes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "trial.h"

namespace underpass::test {

namespace {

using Clock = std::chrono::steady_clock;
using Command = std::vector<std::string>;
using Commands = std::vector<Command>;

constexpr std::uint16_t kForbidden = 9, kAllowed = 10;
constexpr std::size_t kTail = 22;  // behind the headers: a number, and zeros
constexpr milliseconds kInTime(100);
constexpr milliseconds kUntilFast(3000);

struct Rule {
    std::string name;
    Commands prepare;  // what forbids nothing yet
    Commands add, remove;
    std::string reason;         // part of what `status` and `check` say; none: TC shows it the frames, and is fast
    std::string port = {};      // the port that is left to the kernel; none: the bridge
    bool br_netfilter = false;  // net.bridge.bridge-nf-call-*=1 from the beginning
    bool ipv6 = false;
    bool forbids_all = false;  // frames to port 10 too
    bool fast_again = true;    // after `remove`
    bool by_tool = false;      // needs the first word of `add` to work here: `TOOL -L`
};

Command nft(const std::string& text) {
    return {"nft", text};
}

Rule nft_rule(const std::string& name, const std::string& family, const std::string& hook, const std::string& chain,
              const std::string& reason) {
    const std::string table = family + " filter";
    return {.name = name,
            .prepare = {nft("add table " + table),
                        nft("add chain " + table + " " + chain + " { type filter hook " + hook + " priority 0; }")},
            .add = {nft("add rule " + table + " " + chain + " udp dport 9 drop")},
            .remove = {nft("flush chain " + table + " " + chain)},
            .reason = reason};
}

// The same, when everything comes at once and goes at once.
Rule at_once(Rule rule, const std::string& table) {
    std::string text;
    for (const auto* commands : {&rule.prepare, &rule.add})
        for (const auto& command : *commands) text += command.back() + "; ";
    rule.name += "AtOnce";
    rule.prepare.clear();
    rule.add = {nft(text)};
    rule.remove = {nft("delete table " + table)};
    return rule;
}

Rule iptables_rule(const std::string& name, const std::string& tool, const std::string& reason) {
    const Command rest = {"FORWARD", "-p", "udp", "--dport", "9", "-j", "DROP"};
    const auto with = [&](const char* action) {
        Command command = {tool, "-w", action};
        command.insert(command.end(), rest.begin(), rest.end());
        return command;
    };
    return {.name = name,
            .prepare = {},
            .add = {with("-A")},
            .remove = {with("-D")},
            .reason = reason,
            .br_netfilter = true,
            .by_tool = true};
}

Rule ebtables_rule(const std::string& name, const std::string& tool, const std::string& reason) {
    const auto with = [&](const char* action) {
        return Command{tool, action, "FORWARD", "-p", "IPv4", "--ip-protocol", "udp", "--ip-destination-port",
                       "9",  "-j",   "DROP"};
    };
    return {
        .name = name, .prepare = {}, .add = {with("-A")}, .remove = {with("-D")}, .reason = reason, .by_tool = true};
}

// A classic BPF program that drops UDP to port 9: the one classifier that both kernels have.
Rule tc_rule(const std::string& name, const std::string& device, const std::string& direction,
             const std::string& reason) {
    const std::string drops_port_9 =
        "8,40 0 0 12,21 0 5 2048,48 0 0 23,21 0 3 17,40 0 0 36,21 0 1 9,6 0 0 2,6 0 0 4294967295";
    const auto filter = [&](const char* action) {
        return Command{"tc", "filter", action, "dev", device, direction, "protocol", "all", "pref", "7"};
    };
    Command add = filter("add");
    for (const auto& word : {std::string("bpf"), std::string("bytecode"), drops_port_9, std::string("da")})
        add.push_back(word);
    return {.name = name,
            .prepare = {{"tc", "qdisc", "add", "dev", device, "clsact"}},
            .add = {add},
            .remove = {filter("del")},
            .reason = reason,
            .port = device};
}

std::vector<Rule> all_rules() {
    std::vector<Rule> rules;
    const Rule bridge = nft_rule("NftBridge", "bridge", "forward", "forward", "table bridge filter, chain forward");
    rules.push_back(bridge);
    rules.push_back(at_once(bridge, "bridge filter"));
    rules.push_back(
        nft_rule("NftBridgePrerouting", "bridge", "prerouting", "early", "table bridge filter, chain early"));
    {
        Rule policy = bridge;
        policy.name = "NftBridgePolicy";
        policy.add = {nft("add chain bridge filter forward { policy drop; }")};
        policy.remove = {nft("add chain bridge filter forward { policy accept; }")};
        policy.forbids_all = true;
        rules.push_back(policy);
    }
    rules.push_back(ebtables_rule("Ebtables", "ebtables-nft", "table bridge filter, chain FORWARD"));
    rules.push_back(ebtables_rule("EbtablesLegacy", "ebtables-legacy", "ebtables-legacy table filter"));

    const auto on_device = [](Rule rule, const char* port) {
        rule.port = port;
        return rule;
    };
    const Rule ingress = on_device(
        nft_rule("NftNetdevIngress", "netdev", "ingress device a", "in", "table netdev filter, chain in"), "a");
    rules.push_back(ingress);
    rules.push_back(at_once(ingress, "netdev filter"));
    rules.push_back(on_device(
        nft_rule("NftNetdevEgress", "netdev", "egress device b", "out", "table netdev filter, chain out"), "b"));
    rules.push_back(
        on_device(nft_rule("NftInetIngress", "inet", "ingress device a", "in", "table inet filter, chain in"), "a"));

    const auto under_br_netfilter = [](Rule rule) {
        rule.br_netfilter = true;
        return rule;
    };
    rules.push_back(
        under_br_netfilter(nft_rule("NftInet", "inet", "forward", "forward", "table inet filter, chain forward")));
    rules.push_back(
        under_br_netfilter(nft_rule("NftIpPostrouting", "ip", "postrouting", "late", "table ip filter, chain late")));
    rules.push_back(iptables_rule("Iptables", "iptables-nft", "table ip filter, chain FORWARD"));
    Rule ip6tables = iptables_rule("Ip6tables", "ip6tables-nft", "table ip6 filter, chain FORWARD");
    ip6tables.ipv6 = true;
    rules.push_back(ip6tables);
    // The older tools leave their table behind, which counts as rules.
    Rule legacy = iptables_rule("IptablesLegacy", "iptables-legacy", "iptables-legacy table filter");
    legacy.fast_again = false;
    rules.push_back(legacy);
    Rule legacy6 = iptables_rule("Ip6tablesLegacy", "ip6tables-legacy", "ip6tables-legacy table filter");
    legacy6.ipv6 = true;
    legacy6.fast_again = false;
    rules.push_back(legacy6);

    rules.push_back(tc_rule("TcIngress", "a", "ingress", "TC filters or programs of others see its frames"));
    rules.push_back(tc_rule("TcEgress", "b", "egress", ""));

    // The rule is there, and frames are shown to it from then on.
    const auto switched_on = [](Rule rule, const std::string& name, const Command& on, const Command& off) {
        rule.name = name;
        rule.prepare = rule.add;
        rule.add = {on};
        rule.remove = {off};
        rule.br_netfilter = false;
        return rule;
    };
    const Rule iptables = iptables_rule("", "iptables-nft", "table ip filter, chain FORWARD");
    rules.push_back(switched_on(iptables, "CallIptables", {"sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1"},
                                {"sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0"}));
    rules.push_back(switched_on(ip6tables, "CallIp6tables", {"sysctl", "-qw", "net.bridge.bridge-nf-call-ip6tables=1"},
                                {"sysctl", "-qw", "net.bridge.bridge-nf-call-ip6tables=0"}));
    rules.push_back(switched_on(iptables, "CallIptablesOfTheBridge",
                                {"ip", "link", "set", "br0", "type", "bridge", "nf_call_iptables", "1"},
                                {"ip", "link", "set", "br0", "type", "bridge", "nf_call_iptables", "0"}));
    return rules;
}

Frame make_frame(const Rule& rule, std::uint16_t dport, std::uint32_t number) {
    std::vector<std::uint8_t> bytes(kTail);
    std::memcpy(bytes.data(), &number, sizeof(number));
    const Stack start(Ethernet{.destination = kHostB, .source = kHostA});
    const Stack udp = rule.ipv6 ? start / IPv6{} : start / IPv4{};
    return udp / UDP{.dport = dport} / Bytes{bytes};
}

// Frames of both kinds by turns, by a thread of its own.
class MixedStream {
public:
    struct Sent {
        Clock::time_point time;
        bool forbidden;
    };

    MixedStream(Trial& trial, const Rule& rule) : thread_([this, &trial, &rule] { run(trial, rule); }) {}
    ~MixedStream() { stop(); }

    // All that was sent, by number.
    const std::vector<Sent>& stop() {
        ending_ = true;
        if (thread_.joinable()) thread_.join();
        return sent_;
    }

private:
    void run(Trial& trial, const Rule& rule) {
        const auto interval = std::chrono::microseconds(is_emulated() ? 10000 : 500);
        for (auto next = Clock::now(); !ending_; next += interval) {
            std::this_thread::sleep_until(next);
            const auto number = static_cast<std::uint32_t>(sent_.size());
            const bool forbidden = number % 2 == 0;
            const Frame frame = make_frame(rule, forbidden ? kForbidden : kAllowed, number);
            sent_.push_back({Clock::now(), forbidden});
            trial.a().send(frame);
        }
    }

    std::atomic<bool> ending_ = false;
    std::vector<Sent> sent_;  // the thread's until it has ended
    std::thread thread_;
};

std::vector<std::uint32_t> numbers_of(const std::vector<Frame>& frames) {
    std::vector<std::uint32_t> numbers;
    for (const Frame& frame : frames) {
        if (source_of(frame) != kHostA || frame.size() < 60 || (frame[12] == 0x08 && frame[13] == 0x06)) continue;
        std::uint32_t number = 0;
        std::memcpy(&number, frame.data() + frame.size() - kTail, sizeof(number));
        numbers.push_back(number);
    }
    return numbers;
}

// For the names of failed tests.
void PrintTo(const Rule& rule, std::ostream* out) {
    *out << rule.name;
}

class RulesTest : public TestNet, public ::testing::WithParamInterface<std::tuple<const char*, Rule>> {
protected:
    static const char* hook() { return std::get<0>(GetParam()); }
    static const Rule& rule() { return std::get<1>(GetParam()); }

    // Why the rule cannot be made here; empty if it can.
    static std::string why_not(const Trial& trial) {
        const bool needs = rule().br_netfilter || rule().name.starts_with("Call");
        if (needs && !std::filesystem::exists("/proc/sys/net/bridge")) return "br_netfilter is not loaded";
        if (rule().by_tool || rule().name.starts_with("Call")) {
            const std::string& tool =
                rule().by_tool && !rule().add.front().empty() ? rule().add.front().front() : "nft";
            if (tool.find("tables") == std::string::npos) return {};
            // Not in the trial's namespace: merely listing makes the older tools' tables.
            const Finished tried = run(trial.host(), {"unshare", "-n", tool, "-L"});
            if (!tried.ok()) return tool + " does not work here: " + tried.text();
        }
        return {};
    }

    static void must(const Trial& trial, const Commands& commands) {
        for (const Command& command : commands) {
            const Finished finished = run(trial.host(), command);
            if (!finished.ok()) throw std::runtime_error(command.front() + ": " + finished.text());
        }
    }

    static void set_br_netfilter(const Trial& trial) {
        if (!rule().br_netfilter) return;
        trial.host().run([] {
            for (const char* tables : {"iptables", "ip6tables"})
                lab::set_sysctl(std::string("bridge/bridge-nf-call-") + tables, "1");
        });
    }

    // How many of 20 frames of each kind arrive: {forbidden, allowed}.
    static std::pair<std::size_t, std::size_t> arriving(Trial& trial) {
        trial.b().discard();
        for (std::uint32_t number = 0; number < 40; number++)
            trial.a().send(make_frame(rule(), number % 2 == 0 ? kForbidden : kAllowed, number));
        const auto numbers = numbers_of(trial.b().receive(milliseconds(is_emulated() ? 1000 : 100)));
        const auto forbidden = std::ranges::count_if(numbers, [](std::uint32_t number) { return number % 2 == 0; });
        return {forbidden, numbers.size() - static_cast<std::size_t>(forbidden)};
    }

    static double fast_part(const Trial& trial) {
        const auto before = trial.share();
        std::this_thread::sleep_for(milliseconds(is_emulated() ? 1000 : 150));
        const auto after = trial.share();
        return after.all == before.all
                   ? 0
                   : static_cast<double>(after.fast - before.fast) / static_cast<double>(after.all - before.all);
    }

    static double fast_part_in_time(const Trial& trial) {
        double part = 0;
        for (const auto end = Clock::now() + kUntilFast * (is_emulated() ? 10 : 1); part < 0.99 && Clock::now() < end;)
            part = fast_part(trial);
        return part;
    }

    // The bridge stays fast: what of its frames the rules see goes so as flows that they have accepted. (Not those of
    // the older tools, which nobody reads.)
    static bool goes_by_flows() {
        return (rule().br_netfilter || rule().name.starts_with("Call")) &&
               rule().reason.find("legacy") == std::string::npos;
    }

    // What is said of the bridge, or of the port that the rule is on.
    static std::string why(const nlohmann::json& said) {
        for (const auto& bridge : said.at("bridges")) {
            if (goes_by_flows()) return bridge.at("bridging").value("rules", nlohmann::json("nothing")).dump();
            if (rule().port.empty()) return bridge.value("why", "nothing: it is " + bridge.value("state", "?"));
            for (const auto& port : bridge.at("ports"))
                if (port.at("name") == rule().port) return port.at("why");
        }
        return "nothing: there is no bridge";
    }

    static void expect_reason(const Trial& trial) {
        EXPECT_NE(why(trial.status()).find(rule().reason), std::string::npos) << "status says " << why(trial.status());
        const Finished check = underpass(trial.host(), {"check", "--json"});
        ASSERT_TRUE(check.ok()) << check.text();
        const std::string checked = why(nlohmann::json::parse(check.out));
        EXPECT_NE(checked.find(rule().reason), std::string::npos) << "check says " << checked;
        const Finished status = underpass(trial.host(), {"status"});
        EXPECT_NE(status.out.find(rule().reason), std::string::npos) << status.text();
    }

    static void introduce_both(Trial& trial) {
        trial.introduce(trial.a(), kHostA);
        trial.introduce(trial.b(), kHostB);
        trial.b().discard();
    }
};

TEST_P(RulesTest, ThereBefore) {
    Trial trial(net(), hook());
    if (const std::string why = why_not(trial); !why.empty()) GTEST_SKIP() << why;
    set_br_netfilter(trial);
    must(trial, rule().prepare);
    must(trial, rule().add);
    // The kernel alone.
    trial.b().send(Ethernet{.destination = kBroadcast, .source = kHostB} / Arp{.sender_mac = kHostB} / PadTo{60});
    const auto by_the_kernel = arriving(trial);
    EXPECT_EQ(by_the_kernel.first, 0U) << "the rule forbids nothing";
    EXPECT_EQ(by_the_kernel.second, rule().forbids_all ? 0U : 20U);

    // A bridge that was named and cannot go fast is refused with the reason; with --all it is left to the kernel.
    if (rule().port.empty() && !goes_by_flows()) {
        const Finished up = underpass(trial.host(), {"up", "br0", "--hook", hook()});
        EXPECT_EQ(up.status, 1);
        EXPECT_NE(up.err.find(rule().reason), std::string::npos) << up.text();
        EXPECT_EQ(std::ranges::count(up.err, '\n'), 1) << up.text();
    }
    const Finished up = underpass(trial.host(), {"up", "--all", "--hook", hook()});
    ASSERT_TRUE(up.ok()) << up.text();
    EXPECT_NE(up.out.find(rule().reason), std::string::npos) << up.text();
    introduce_both(trial);
    EXPECT_EQ(arriving(trial), by_the_kernel);
    expect_reason(trial);

    must(trial, rule().remove);
    if (!rule().fast_again) return;
    introduce_both(trial);  // hosts are believed where they are seen while nothing stands in the way
    MixedStream stream(trial, rule());
    EXPECT_GT(fast_part_in_time(trial), 0.99) << "the rule is gone, and frames do not go fast";
}

TEST_P(RulesTest, AddedWhileFramesGoFast) {
    Trial trial(net(), hook());
    if (const std::string why = why_not(trial); !why.empty()) GTEST_SKIP() << why;
    set_br_netfilter(trial);
    must(trial, rule().prepare);
    trial.up();
    introduce_both(trial);
    MixedStream stream(trial, rule());
    ASSERT_GT(fast_part_in_time(trial), 0.99) << trial.status().dump(2);
    ASSERT_EQ(trial.status().at("bridges").at(0).at("state"), "fast");

    const auto adding = Clock::now();
    must(trial, rule().add);
    const auto added = Clock::now();
    std::this_thread::sleep_for(milliseconds(is_emulated() ? 3000 : 300));
    expect_reason(trial);
    const auto removing = Clock::now();
    must(trial, rule().remove);
    const auto removed = Clock::now();
    std::this_thread::sleep_for(kInTime + milliseconds(50));
    if (rule().fast_again) {
        EXPECT_GT(fast_part_in_time(trial), 0.99) << "the rule is gone, and frames do not go fast";
    }

    const auto& sent = stream.stop();
    const auto numbers = numbers_of(trial.b().receive(milliseconds(is_emulated() ? 3000 : 200)));
    std::vector<bool> arrived(sent.size());
    for (const std::uint32_t number : numbers) {
        ASSERT_LT(number, sent.size());
        EXPECT_FALSE(arrived[number]) << "frame " << number << " came twice";
        arrived[number] = true;
    }
    const auto ms_after = [](Clock::time_point late, Clock::time_point early) {
        return std::chrono::duration<double, std::milli>(late - early).count();
    };
    std::size_t lost = 0, lost_after = 0, governed = 0, out_of_time = 0;
    double last_wrong = -ms_after(added, adding);
    for (std::size_t number = 0; number < sent.size(); number++) {
        const auto& [time, forbidden] = sent[number];
        if (time < adding || time > removed + kInTime) {
            (time < adding ? lost : lost_after) += arrived[number] ? 0 : 1;
        } else if (!forbidden && !rule().forbids_all) {
            lost += arrived[number] ? 0 : 1;
        } else if (time < removing) {
            governed++;
            if (!arrived[number]) continue;
            last_wrong = ms_after(time, added);
            out_of_time += time > added + kInTime ? 1 : 0;
        }
    }
    fmt::print(
        "{} {}: {} frames, {} governed by the rule; the last wrong one was sent {:.1f} ms after the tool returned "
        "(it took {:.1f} ms)\n",
        hook(), rule().name, sent.size(), governed, last_wrong, ms_after(added, adding));
    EXPECT_EQ(lost, 0U) << "frames that no rule forbids";
    EXPECT_EQ(lost_after, 0U) << "frames sent after the rule was gone";
    EXPECT_GT(governed, 20U);
    if (!is_emulated()) {
        EXPECT_EQ(out_of_time, 0U) << "frames that the rule forbids";
    }
}

// What the container's own kernel does with its frames is its affair, and is done, although frames for it go straight
// into its namespace.
class ContainerTest : public TestNet {};

TEST_F(ContainerTest, ItsOwnIngressRuleIsObeyed) {
    Trial trial(net(), "tc");
    trial.up();
    const lab::Namespace& far = trial.far("b");
    // Frames go straight in where they are for the device itself.
    const MacAddr b = far.run([] { return lab::mac("b"); });
    trial.introduce(trial.a(), kHostA);
    trial.introduce(trial.b(), b);
    trial.b().discard();
    const auto send = [&](std::uint16_t dport) {
        const auto before = trial.share();
        for (int i = 0; i < 20; i++)
            trial.a().send(Ethernet{.destination = b, .source = kHostA} / IPv4{} / UDP{.dport = dport} /
                           Bytes{std::vector<std::uint8_t>(kTail)});
        EXPECT_EQ(trial.share().fast - before.fast, 20U);
    };
    const auto bytes_before = [&] {
        const Finished listed = run(far, {"nft", "list", "counters"});
        return listed.out;
    };
    for (const Command& command : {nft("add table netdev own"), nft("add counter netdev own seen"),
                                   nft("add chain netdev own in { type filter hook ingress device b priority 0; }"),
                                   nft("add rule netdev own in udp dport 9 counter name seen drop")}) {
        const Finished finished = run(far, command);
        ASSERT_TRUE(finished.ok()) << finished.text();
    }
    send(kForbidden);
    EXPECT_NE(bytes_before().find("packets 20 "), std::string::npos) << bytes_before();
}

INSTANTIATE_TEST_SUITE_P(Hooks, RulesTest,
                         ::testing::Combine(::testing::Values("tc", "xdp"), ::testing::ValuesIn(all_rules())),
                         [](const auto& test) {
                             return std::string(std::get<0>(test.param)) + "_" + std::get<1>(test.param).name;
                         });

}  // namespace

}  // namespace underpass::test
