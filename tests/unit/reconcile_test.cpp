// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Reconcile against maps that are kept here and may fail: order, slots, a full map, what an earlier daemon left, and
// that whatever happened the maps end as a fresh start would write them.
#include "sync/reconcile.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "hosts.h"

namespace underpass {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

struct KeyLess {
    bool operator()(const fdb_key& a, const fdb_key& b) const { return std::memcmp(&a, &b, sizeof(a)) < 0; }
};

constexpr std::size_t kRoom = 4096;

// The maps, written as the writer writes them.
class FakeMaps {
public:
    std::map<std::uint32_t, device> devices;
    std::map<std::uint32_t, std::uint32_t> index;
    std::map<fdb_key, fdb_entry, KeyLess> fdb;
    std::map<std::uint32_t, std::uint32_t> targets;
    std::map<std::uint32_t, port_vlans> vlans;
    std::map<std::vector<std::uint32_t>, std::uint32_t> uppers;
    std::map<std::vector<std::uint32_t>, std::uint32_t> tunnels;
    std::map<fdb_key, vtep, KeyLess> vteps;
    std::function<bool(const Operation&)> fails = [](const Operation&) { return false; };

    void apply(const Operations& operations, Reconciler& reconciler) {
        for (const Operation& operation : operations) {
            log.push_back(operation);
            if (fails(operation))
                reconciler.failed(operation);
            else
                std::visit([this](const auto& kind) { apply(kind); }, operation);
        }
    }

    // What the programs see, with slots resolved: device -> record, address -> device, device -> redirect target.
    std::map<std::uint32_t, std::vector<std::uint64_t>> seen_devices() const {
        std::map<std::uint32_t, std::vector<std::uint64_t>> seen;
        for (const auto& [place, slot] : index) {
            const auto record = devices.find(slot);
            if (slot == 0 || record == devices.end() || record->second.flags == 0) continue;
            if (record->second.ifindex % DEVICE_INDEX_SIZE != place) continue;
            const device& one = record->second;
            seen[one.ifindex] = {one.flags, one.bridge, one.max_len, one.pulse_ns, one.out, one.vid, one.vlan_protocol};
        }
        return seen;
    }
    std::map<FdbKey, std::pair<std::uint32_t, unsigned>> seen_fdb() const {
        std::map<FdbKey, std::pair<std::uint32_t, unsigned>> seen;
        for (const auto& [key, entry] : fdb) {
            FdbKey host_key{Ifindex{key.bridge}, Vid{key.vid}, {}};
            std::copy(std::begin(key.mac), std::end(key.mac), host_key.mac.bytes.begin());
            seen[host_key] = {device_at(entry.slot), entry.flags};
        }
        return seen;
    }
    std::map<std::uint32_t, std::uint32_t> seen_targets() const {
        std::map<std::uint32_t, std::uint32_t> seen;
        for (const auto& [slot, ifindex] : targets) seen[device_at(slot)] = ifindex;
        return seen;
    }
    // Where the programs ask for them.
    std::map<std::uint32_t, std::vector<std::uint64_t>> seen_vlans() const {
        std::map<std::uint32_t, std::vector<std::uint64_t>> seen;
        for (const auto& [slot, record] : devices) {
            if ((record.flags & DEVICE_VLAN_AWARE) == 0) continue;
            const auto held = vlans.find(slot);
            const port_vlans rights = held == vlans.end() ? port_vlans{} : held->second;
            seen[record.ifindex].assign(std::begin(rights.word), std::end(rights.word));
        }
        return seen;
    }
    std::map<std::vector<std::uint32_t>, std::uint32_t> seen_uppers() const {
        std::map<std::vector<std::uint32_t>, std::uint32_t> seen;
        for (const auto& [key, slot] : uppers) seen[key] = device_at(slot);
        return seen;
    }
    std::size_t live_records() const {
        std::size_t count = 0;
        for (const auto& [slot, record] : devices) count += record.flags != 0 ? 1 : 0;
        return count;
    }

    Operations log;

private:
    std::uint32_t device_at(std::uint32_t slot) const {
        const auto record = devices.find(slot);
        return slot == 0 ? 0 : record == devices.end() || record->second.flags == 0 ? ~0U : record->second.ifindex;
    }
    void apply(const EraseFdb& operation) { fdb.erase(operation.key); }
    void apply(const WriteFdb& operation) { fdb[operation.key] = operation.entry; }
    void apply(const WriteDevice& operation) {
        devices[operation.slot] = operation.record;
        index[operation.record.ifindex % DEVICE_INDEX_SIZE] = operation.slot;
    }
    void apply(const ClearDevice& operation) {
        devices[operation.slot] = {};
        auto& place = index[operation.ifindex % DEVICE_INDEX_SIZE];
        if (place == operation.slot) place = 0;
    }
    void apply(const WriteTarget& operation) { targets[operation.slot] = operation.ifindex; }
    void apply(const ClearTarget& operation) { targets.erase(operation.slot); }
    void apply(const WriteVlans& operation) { vlans[operation.slot] = *operation.vlans; }
    void apply(const WriteUpper& operation) { uppers[words(operation.key)] = operation.slot; }
    void apply(const EraseUpper& operation) { uppers.erase(words(operation.key)); }
    void apply(const WriteTunnel& operation) { tunnels[words(operation.key)] = operation.slot; }
    void apply(const EraseTunnel& operation) { tunnels.erase(words(operation.key)); }
    void apply(const WriteVtep& operation) { vteps[operation.key] = operation.entry; }
    void apply(const EraseVtep& operation) { vteps.erase(operation.key); }
    static std::vector<std::uint32_t> words(const tunnel_key& key) { return {key.vni, key.port, key.family}; }
    static std::vector<std::uint32_t> words(const vlan_upper_key& key) { return {key.ifindex, key.protocol, key.vid}; }
};

// The daemon's way of using it, without the system calls.
struct Bench {
    Host host = plain_host();
    Selection selection{.all = HookChoice::automatic};
    Plan plan;
    Reconciler reconciler;
    FakeMaps maps;

    explicit Bench(std::size_t room = kRoom) : reconciler(room) {}

    // The host has changed, `dirty` of its addresses among what did.
    void judge(const std::set<FdbKey>& dirty = {}) {
        Operations removals;
        for (const FdbKey& one : dirty) reconciler.remove_changed(one, removals);
        EXPECT_TRUE(std::all_of(removals.begin(), removals.end(), is_removal));
        maps.apply(removals, reconciler);
        judge_devices();
        write(dirty);
    }

    void judge_vteps(const std::set<FdbKey>& dirty) {
        Operations operations;
        for (const FdbKey& one : dirty) reconciler.remove_changed_vtep(one, operations);
        for (const FdbKey& one : dirty) reconciler.reconcile_vtep(host, plan, one, operations);
        maps.apply(operations, reconciler);
    }

    // Nothing has changed: only what failed is tried again.
    void retry() {
        const std::set<FdbKey> failed = reconciler.take_failed_fdb();
        if (reconciler.take_failed_devices()) judge_devices();
        write(failed);
    }

    std::uint32_t slot(Ifindex index) const { return reconciler.slot_of(index).value_or(0); }

private:
    void judge_devices() {
        plan = make_plan(host, selection, {});
        maps.apply(reconciler.reconcile_devices(plan), reconciler);
        if (reconciler.take_fdb_stale()) maps.apply(reconciler.reconcile_all_fdb(host, plan), reconciler);
    }
    void write(const std::set<FdbKey>& keys) {
        Operations operations;
        for (const FdbKey& one : keys) reconciler.reconcile_fdb(host, plan, one, operations);
        maps.apply(operations, reconciler);
    }
};

// The maps of a daemon that starts on this host.
FakeMaps fresh_maps(const Host& host, const Selection& selection) {
    Bench bench;
    bench.host = host;
    bench.selection = selection;
    bench.judge();
    return bench.maps;
}

void expect_same(const FakeMaps& maps, const FakeMaps& wanted) {
    EXPECT_EQ(maps.seen_devices(), wanted.seen_devices());
    EXPECT_EQ(maps.seen_fdb(), wanted.seen_fdb());
    EXPECT_EQ(maps.seen_targets(), wanted.seen_targets());
    EXPECT_EQ(maps.seen_vlans(), wanted.seen_vlans());
    EXPECT_EQ(maps.seen_uppers(), wanted.seen_uppers());
    EXPECT_EQ(maps.live_records(), wanted.live_records());
}

template <class Kind>
std::size_t count(const Operations& operations) {
    return static_cast<std::size_t>(std::count_if(operations.begin(), operations.end(), [](const Operation& operation) {
        return std::holds_alternative<Kind>(operation);
    }));
}

// Every removal before everything else.
bool removals_first(const Operations& operations) {
    return std::is_partitioned(operations.begin(), operations.end(), is_removal);
}

TEST(Reconcile, FirstStart) {
    Bench bench;
    bench.host.fdb[key(1)] = {.port = kNic, .sticky = true};
    bench.host.fdb[key(2)] = {.port = Ifindex::none, .local = true};
    bench.judge();
    EXPECT_EQ(count<WriteDevice>(bench.maps.log), 6U);
    EXPECT_EQ(count<WriteTarget>(bench.maps.log), 4U) << "three NICs and the wire";
    EXPECT_EQ(count<WriteFdb>(bench.maps.log), 2U);
    EXPECT_THAT(bench.maps.log, SizeIs(12));
    const fdb_entry& learned = bench.maps.fdb.at(to_map_key(key(1)));
    EXPECT_EQ(learned.slot, bench.slot(kNic));
    EXPECT_NE(learned.slot, 0U);
    EXPECT_EQ(learned.flags, FDB_STICKY);
    EXPECT_EQ(learned.shown_ns, 0U) << "the program confirms, nobody else";
    EXPECT_EQ(learned.distrusted, 0);
    EXPECT_EQ(bench.maps.fdb.at(to_map_key(key(2))).slot, 0U);
    EXPECT_EQ(bench.maps.targets.at(bench.slot(kNic)), number(kNic));
    EXPECT_EQ(bench.maps.index.at(number(kNic)), bench.slot(kNic));
    EXPECT_EQ(bench.reconciler.device_count(), 6U);
    EXPECT_EQ(bench.reconciler.fdb_entries(), 2U);

    bench.maps.log.clear();
    bench.judge();
    EXPECT_THAT(bench.maps.log, IsEmpty()) << "nothing changed";

    // It changed, and changed back: the program may have distrusted it meanwhile.
    bench.judge({key(1)});
    EXPECT_EQ(count<EraseFdb>(bench.maps.log), 1U);
    EXPECT_EQ(count<WriteFdb>(bench.maps.log), 1U);
}

TEST(Reconcile, VlanDevice) {
    Bench bench;
    bench.host.links.erase(kNic);  // eth1 is a trunk, and no port
    bench.host.links[kNic] = plain_link(kNic, "eth1", "", "mq");
    Link vlan = plain_port(Ifindex{30}, "eth1.5", "vlan", "noqueue");
    vlan.lower = kNic;
    vlan.vlan = VlanAttributes{.id = Vid{5}, .protocol = 0x88a8};
    bench.host.links[Ifindex{30}] = vlan;
    bench.judge();
    const std::uint32_t trunk = bench.slot(kNic), port = bench.slot(Ifindex{30});
    ASSERT_NE(trunk, 0U);
    ASSERT_NE(port, 0U);
    EXPECT_EQ(bench.maps.devices.at(trunk).flags, DEVICE_PRESENT | DEVICE_TRUNK);
    EXPECT_EQ(bench.maps.devices.at(trunk).bridge, 0U);
    EXPECT_EQ(bench.maps.devices.at(port).out, number(kNic));
    EXPECT_EQ(bench.maps.targets.at(port), number(kNic)) << "it leaves by the device below";
    EXPECT_FALSE(bench.maps.targets.contains(trunk));
    EXPECT_EQ(bench.maps.seen_uppers(),
              (std::map<std::vector<std::uint32_t>, std::uint32_t>{{{number(kNic), htons(0x88a8), 5}, 30}}));

    // It is to send by itself (somebody captures there): no frame may read half of the old record and half of the new.
    bench.host.links[Ifindex{30}].promiscuity = 2;
    bench.judge();
    const std::uint32_t alone = bench.slot(Ifindex{30});
    EXPECT_NE(alone, port);
    EXPECT_EQ(bench.maps.devices.at(alone).out, 30U);
    EXPECT_EQ(bench.maps.devices.at(port).flags, 0U);
    EXPECT_TRUE(bench.maps.uppers.empty());
    bench.host.links[Ifindex{30}].promiscuity = 1;
    bench.judge();

    // The trunk becomes a port itself: what was known of its slot is another's.
    bench.host.links[kNic] = plain_port(kNic, "eth1", "", "mq");
    bench.judge();
    EXPECT_NE(bench.slot(kNic), trunk);
    EXPECT_EQ(bench.maps.devices.at(bench.slot(kNic)).flags & (DEVICE_TRUNK | DEVICE_INGRESS),
              std::uint32_t{DEVICE_TRUNK | DEVICE_INGRESS});

    bench.host.links.erase(Ifindex{30});
    bench.maps.log.clear();
    bench.judge();
    EXPECT_EQ(count<EraseUpper>(bench.maps.log), 1U);
    EXPECT_TRUE(bench.maps.uppers.empty());
    EXPECT_EQ(bench.maps.devices.at(bench.slot(kNic)).flags & DEVICE_TRUNK, 0U);
}

// A bridge that routes has a record of its own, and a device that is routed by is its own port.
TEST(Reconcile, RoutersComeAndGo) {
    constexpr Ifindex kUplink{20};
    Bench bench;
    bench.host.forwards = true;
    bench.selection.except = {"eth0"};
    bench.host.links[kUplink] = plain_link(kUplink, "eth0", "", "mq");
    bench.host.drivers[kUplink] = plain_nic();
    bench.judge();
    EXPECT_EQ(bench.slot(kBridge), 0U);
    bench.selection.bridges["eth0"] = HookChoice::automatic;
    bench.judge();
    EXPECT_NE(bench.slot(kBridge), 0U);
    EXPECT_EQ(bench.maps.devices.at(bench.slot(kBridge)).flags & DEVICE_BRIDGE, DEVICE_BRIDGE);
    EXPECT_EQ(bench.maps.devices.at(bench.slot(kUplink)).bridge, 0U);
    EXPECT_EQ(bench.maps.targets.at(bench.slot(kUplink)), number(kUplink));
    EXPECT_FALSE(bench.maps.targets.contains(bench.slot(kBridge)));
    expect_same(bench.maps, fresh_maps(bench.host, bench.selection));

    bench.maps.log.clear();
    bench.judge();
    EXPECT_THAT(bench.maps.log, IsEmpty()) << "nothing changed";

    bench.selection.bridges.erase("eth0");
    bench.judge();
    EXPECT_EQ(bench.slot(kBridge), 0U);
    expect_same(bench.maps, fresh_maps(bench.host, bench.selection));
}

// Each VLAN of a VLAN-aware bridge leads to another router: the bridge itself, or a VLAN device on it.
TEST(Reconcile, RoutersOfVlans) {
    constexpr Ifindex kUpper{20};
    Bench bench;
    bench.host.forwards = true;
    bench.host.links.at(kBridge).bridge->vlan_filtering = true;
    bench.host.links[kUpper] = plain_vlan_device(kUpper, kBridge, Vid{10});
    bench.host.links[kUpper].mac = bench.host.links.at(kBridge).mac;
    bench.host.vlans[kBridge] = {.pvid = Vid{1},
                                 .ranges = {{.first = 1, .last = 2, .untagged = true}, {.first = 10, .last = 10}}};
    bench.judge();
    using Uppers = std::map<std::vector<std::uint32_t>, std::uint32_t>;
    const auto lead_to = [](std::uint16_t vid, Ifindex router) {
        return std::pair(std::vector<std::uint32_t>{number(kBridge), htons(0x8100), vid}, number(router));
    };
    EXPECT_EQ(bench.maps.seen_uppers(), (Uppers{lead_to(1, kBridge), lead_to(2, kBridge), lead_to(10, kUpper)}));
    EXPECT_EQ(bench.maps.devices.at(bench.slot(kUpper)).flags & (DEVICE_BRIDGE | DEVICE_INGRESS),
              std::uint32_t{DEVICE_BRIDGE});
    expect_same(bench.maps, fresh_maps(bench.host, bench.selection));

    bench.host.links[kUpper].promiscuity = 1;
    bench.host.vlans[kBridge].ranges[0].last = 1;
    bench.judge();
    EXPECT_EQ(bench.maps.seen_uppers(), (Uppers{lead_to(1, kBridge)}));
    expect_same(bench.maps, fresh_maps(bench.host, bench.selection));
}

TEST(Reconcile, RightsBeforeTheRecord) {
    Bench bench;
    bench.judge();
    bench.host.links.at(kBridge).bridge->vlan_filtering = true;
    bench.host.vlans[kNic] = {.pvid = Vid{7}, .ranges = {{.first = 7, .last = 9, .untagged = true}}};
    bench.host.fdb[key(1)] = {.port = kNic};
    FdbKey in_vlan = key(1);
    in_vlan.vid = Vid{7};
    bench.host.fdb[in_vlan] = {.port = kNic};
    bench.maps.log.clear();
    bench.judge();
    const auto place = [&bench](auto matches) {
        return std::find_if(bench.maps.log.begin(), bench.maps.log.end(), matches) - bench.maps.log.begin();
    };
    const std::uint32_t slot = bench.slot(kNic);
    const auto rights = place([slot](const Operation& operation) {
        const auto* write = std::get_if<WriteVlans>(&operation);
        return write != nullptr && write->slot == slot;
    });
    const auto record = place([slot](const Operation& operation) {
        const auto* write = std::get_if<WriteDevice>(&operation);
        return write != nullptr && write->slot == slot;
    });
    EXPECT_LT(rights, record);
    EXPECT_EQ(bench.maps.devices.at(slot).vid, 7);
    EXPECT_TRUE(bench.maps.fdb.contains(to_map_key(in_vlan)));
    EXPECT_FALSE(bench.maps.fdb.contains(to_map_key(key(1)))) << "nobody looks there with VLAN filtering";

    // One VLAN changes: one write.
    bench.host.vlans[kNic].ranges[0].last = 8;
    bench.maps.log.clear();
    bench.judge();
    EXPECT_THAT(bench.maps.log, SizeIs(1));
    EXPECT_EQ(count<WriteVlans>(bench.maps.log), 1U);
    bench.host.links.at(kBridge).bridge->vlan_filtering = false;
    bench.judge();
    EXPECT_TRUE(bench.maps.fdb.contains(to_map_key(key(1))));
    EXPECT_FALSE(bench.maps.fdb.contains(to_map_key(in_vlan)));
}

TEST(Reconcile, MapKey) {
    const fdb_key result = to_map_key({Ifindex{10}, Vid{5}, mac(0x01020304)});
    EXPECT_EQ(result.bridge, 10U);
    EXPECT_EQ(result.vid, 5);
    EXPECT_EQ(std::memcmp(result.mac, mac(0x01020304).bytes.data(), 6), 0);
}

TEST(Reconcile, RemovalsComeFirst) {
    Bench bench;
    for (std::uint32_t i = 1; i <= 20; i++) bench.host.fdb[key(i)] = {.port = i % 2 == 0 ? kNic : kTap};
    bench.judge();

    // One device goes, one comes, one changes: the clearing is first, the target before its device.
    bench.host.links.erase(kNic);
    bench.host.links[Ifindex{30}] = plain_port(Ifindex{30}, "eth9", "", "mq");
    bench.host.drivers[Ifindex{30}] = plain_nic();
    bench.host.links.at(kOtherNic).port->isolated = true;
    const std::uint32_t slot = bench.slot(kNic);
    Plan plan = make_plan(bench.host, bench.selection, {});
    const Operations devices = bench.reconciler.reconcile_devices(plan);
    ASSERT_EQ(devices.size(), 5U);
    EXPECT_TRUE(removals_first(devices));
    EXPECT_EQ(std::get<ClearTarget>(devices[0]).slot, slot);
    EXPECT_EQ(std::get<ClearDevice>(devices[1]).slot, slot);
    EXPECT_EQ(std::get<ClearDevice>(devices[1]).ifindex, number(kNic));
    EXPECT_EQ(std::get<WriteDevice>(devices[2]).record.ifindex, number(kOtherNic));
    EXPECT_EQ(std::get<WriteDevice>(devices[3]).record.ifindex, 30U);
    EXPECT_EQ(std::get<WriteTarget>(devices[4]).ifindex, 30U) << "a target comes after the device's record";

    // Ten entries were at the device that went; five of the others move.
    EXPECT_TRUE(bench.reconciler.take_fdb_stale());
    for (std::uint32_t i = 1; i <= 10; i += 2) bench.host.fdb[key(i)].port = kOtherNic;
    const Operations fdb = bench.reconciler.reconcile_all_fdb(bench.host, plan);
    EXPECT_TRUE(removals_first(fdb));
    EXPECT_EQ(count<EraseFdb>(fdb), 15U);
    EXPECT_EQ(count<WriteFdb>(fdb), 5U);
}

TEST(Reconcile, OneEntryMoves) {
    Bench bench;
    bench.host.fdb[key(1)] = {.port = kNic};
    bench.judge();
    bench.host.fdb[key(1)] = {.port = kTap};
    Operations first;
    bench.reconciler.remove_changed(key(1), first);
    ASSERT_EQ(first.size(), 1U) << "the old port at once";
    Operations then;
    bench.reconciler.reconcile_fdb(bench.host, bench.plan, key(1), then);
    ASSERT_EQ(then.size(), 1U);
    EXPECT_EQ(std::get<WriteFdb>(then[0]).entry.slot, bench.slot(kTap));
}

TEST(Reconcile, PeerThatGoesTakesItsFlagWithIt) {
    Bench bench;
    const FdbKey container{kBridge, Vid::none, kContainerMac};
    bench.host.fdb[container] = {.port = kContainer};
    bench.judge();
    EXPECT_EQ(bench.maps.fdb.at(to_map_key(container)).flags, FDB_PEER);
    bench.host.drivers.at(kContainer).peer->up = false;
    bench.judge();
    EXPECT_EQ(bench.maps.fdb.at(to_map_key(container)).flags, 0);
    bench.host.drivers.at(kContainer).peer->up = true;
    bench.judge();
    EXPECT_EQ(bench.maps.fdb.at(to_map_key(container)).flags, FDB_PEER);
}

TEST(Reconcile, TargetThatIsNoneAnyMore) {
    Bench bench;
    bench.judge();
    bench.maps.log.clear();
    bench.host.drivers.at(kWire).xdp_target = false;
    bench.judge();
    ASSERT_EQ(bench.maps.log.size(), 1U);
    EXPECT_EQ(std::get<ClearTarget>(bench.maps.log[0]).slot, bench.slot(kWire));
    EXPECT_FALSE(bench.maps.targets.contains(bench.slot(kWire)));
    bench.host.drivers.at(kWire).xdp_target = true;
    bench.judge();
    EXPECT_EQ(bench.maps.targets.at(bench.slot(kWire)), number(kWire));
}

// A device that comes back, or moves to another bridge, gets another slot, and so does whoever comes next: the slot
// that was given back is taken only when all others have been.
TEST(Reconcile, SlotsAreUsedAgainLate) {
    Bench bench;
    bench.judge();
    const std::uint32_t given_back = bench.slot(kNic);
    const Link link = bench.host.links.at(kNic);
    bench.host.links.erase(kNic);
    bench.judge();
    EXPECT_EQ(bench.slot(kNic), 0U);
    std::set<std::uint32_t> used;
    std::uint32_t rounds = 0;
    for (; rounds < DEVICE_SLOTS; rounds++) {
        bench.host.links[kNic] = link;
        bench.plan = make_plan(bench.host, bench.selection, {});
        bench.maps.apply(bench.reconciler.reconcile_devices(bench.plan), bench.reconciler);
        const std::uint32_t slot = bench.slot(kNic);
        if (slot == given_back) break;
        EXPECT_TRUE(used.insert(slot).second) << slot;
        bench.host.links.erase(kNic);
        bench.plan = make_plan(bench.host, bench.selection, {});
        bench.maps.apply(bench.reconciler.reconcile_devices(bench.plan), bench.reconciler);
    }
    EXPECT_EQ(rounds, DEVICE_SLOTS - 1 - 6) << "all that were free, but for slot 0";
    EXPECT_FALSE(used.contains(0));
}

TEST(Reconcile, DeviceThatMovesToAnotherBridge) {
    Bench bench;
    bench.host.links[Ifindex{20}] = plain_bridge(Ifindex{20}, "br1");
    bench.host.fdb[key(1)] = {.port = kNic};
    bench.judge();
    const std::uint32_t before = bench.slot(kNic);
    bench.host.links.at(kNic).master = Ifindex{20};
    bench.host.fdb.clear();
    bench.host.fdb[key(1, Ifindex{20})] = {.port = kNic};
    bench.judge({key(1), key(1, Ifindex{20})});
    EXPECT_NE(bench.slot(kNic), before);
    EXPECT_EQ(bench.maps.devices.at(before).flags, 0U);
    expect_same(bench.maps, fresh_maps(bench.host, bench.selection));
}

TEST(Reconcile, NoSlotIsLeft) {
    Bench bench;
    for (std::uint32_t i = 0; i < DEVICE_SLOTS; i++)
        bench.host.links[Ifindex{100 + i}] = plain_port(Ifindex{100 + i}, "p" + std::to_string(i), "dummy", "noqueue");
    bench.judge();
    EXPECT_EQ(bench.reconciler.device_count(), DEVICE_SLOTS - 1U);
    std::size_t refused = 0;
    for (const PortPlan& port : bench.plan.at(kBridge).ports) {
        EXPECT_EQ(port.refusal.empty(), bench.slot(port.index) != 0) << port.name;
        refused += port.refusal.find("device slots are in use") != std::string::npos ? 1 : 0;
    }
    EXPECT_EQ(refused, 7U) << "six ports of the plain host and one more than there are slots, for slot 0 is none";
    const Ifindex last{100 + DEVICE_SLOTS - 1};
    EXPECT_EQ(bench.slot(last), 0U);
    for (std::uint32_t i = 0; i < 7; i++) bench.host.links.erase(Ifindex{100 + i});
    bench.judge();
    EXPECT_NE(bench.slot(last), 0U);
    EXPECT_EQ(find_port(bench.plan.at(kBridge), last)->refusal, "");
}

TEST(Reconcile, PlaceInTheIndexIsTaken) {
    Bench bench;
    const Ifindex same_place{number(kNic) + DEVICE_INDEX_SIZE};
    bench.host.links[same_place] = plain_port(same_place, "late", "", "mq");
    bench.host.drivers[same_place] = plain_nic();
    bench.host.fdb[key(1)] = {.port = same_place};
    bench.judge();
    EXPECT_NE(bench.slot(kNic), 0U);
    EXPECT_EQ(bench.slot(same_place), 0U);
    EXPECT_THAT(find_port(bench.plan.at(kBridge), same_place)->refusal, testing::HasSubstr("taken by device 11"));
    EXPECT_THAT(bench.maps.fdb, IsEmpty()) << "nothing is sent to a port without a slot";
    bench.host.links.erase(kNic);
    bench.judge();
    EXPECT_NE(bench.slot(same_place), 0U);
    EXPECT_EQ(bench.maps.index.at(number(kNic)), bench.slot(same_place));
    EXPECT_THAT(bench.maps.fdb, SizeIs(1));
}

TEST(Reconcile, FullMap) {
    Bench bench(4);
    std::set<FdbKey> dirty;
    for (std::uint32_t i = 1; i <= 6; i++) {
        bench.host.fdb[key(i)] = {.port = kNic};
        dirty.insert(key(i));
    }
    bench.judge(dirty);
    EXPECT_THAT(bench.maps.fdb, SizeIs(4));
    EXPECT_EQ(bench.reconciler.fdb_entries(), 4U);
    EXPECT_EQ(bench.reconciler.fdb_left_out(), 2U);
    EXPECT_FALSE(bench.reconciler.take_fdb_stale()) << "no room, nothing to do";

    // One that was left out is gone by itself; one that is in makes room for the other.
    FdbKey in{}, out{};
    int outside = 0;
    for (const FdbKey& one : dirty) {
        if (bench.maps.fdb.contains(to_map_key(one))) {
            in = one;
        } else {
            out = one;
            outside++;
        }
    }
    ASSERT_EQ(outside, 2);
    bench.host.fdb.erase(out);
    bench.judge({out});
    EXPECT_EQ(bench.reconciler.fdb_left_out(), 1U);
    bench.host.fdb.erase(in);
    Operations operations;
    bench.reconciler.remove_changed(in, operations);
    bench.maps.apply(operations, bench.reconciler);
    EXPECT_THAT(bench.maps.fdb, SizeIs(3));
    EXPECT_TRUE(bench.reconciler.take_fdb_stale()) << "there is room again";
    bench.maps.apply(bench.reconciler.reconcile_all_fdb(bench.host, bench.plan), bench.reconciler);
    EXPECT_THAT(bench.maps.fdb, SizeIs(4));
    EXPECT_EQ(bench.reconciler.fdb_left_out(), 0U);
    EXPECT_FALSE(bench.reconciler.take_fdb_stale());
}

Reconciler adopted(const FakeMaps& maps) {
    Reconciler reconciler(kRoom);
    // As the maps are read: an array has all its places, those never written hold zero.
    std::vector<std::pair<std::uint32_t, device>> devices(maps.devices.begin(), maps.devices.end());
    devices.emplace_back(0, device{});
    devices.emplace_back(DEVICE_SLOTS - 1, device{});
    reconciler.adopt(devices, {maps.fdb.begin(), maps.fdb.end()}, {maps.targets.begin(), maps.targets.end()});
    return reconciler;
}

TEST(Reconcile, AdoptsWhatIsRightWithoutTouchingIt) {
    Bench before;
    for (std::uint32_t i = 1; i <= 8; i++) before.host.fdb[key(i)] = {.port = i % 2 == 0 ? kNic : kTap};
    before.host.fdb[{kBridge, Vid::none, kContainerMac}] = {.port = kContainer};
    before.judge();

    Bench after;
    after.host = before.host;
    after.maps = before.maps;
    after.reconciler = adopted(before.maps);
    after.maps.log.clear();
    EXPECT_EQ(after.slot(kNic), before.slot(kNic)) << "slots keep their devices";
    after.judge();
    EXPECT_EQ(count<EraseFdb>(after.maps.log), 0U);
    EXPECT_EQ(count<WriteFdb>(after.maps.log), 0U) << "what is confirmed stays confirmed";
    EXPECT_EQ(count<ClearDevice>(after.maps.log), 0U);
    EXPECT_EQ(count<ClearTarget>(after.maps.log), 0U);
    for (const Ifindex port : {kNic, kTap, kContainer, kWire}) EXPECT_EQ(after.slot(port), before.slot(port));
    expect_same(after.maps, fresh_maps(after.host, after.selection));
}

TEST(Reconcile, AdoptedSlotsAreNotGivenToOthers) {
    Bench before;
    before.judge();
    Bench after;
    after.host = before.host;
    after.maps = before.maps;
    after.reconciler = adopted(before.maps);
    after.host.links[Ifindex{30}] = plain_port(Ifindex{30}, "eth9", "", "mq");
    after.host.drivers[Ifindex{30}] = plain_nic();
    after.judge();
    for (const auto& [slot, record] : before.maps.devices) EXPECT_NE(slot, after.slot(Ifindex{30}));
    expect_same(after.maps, fresh_maps(after.host, after.selection));
}

TEST(Reconcile, AdoptsAndCorrects) {
    Bench before;
    before.host.links[Ifindex{20}] = plain_bridge(Ifindex{20}, "br1");
    for (std::uint32_t i = 1; i <= 8; i++) before.host.fdb[key(i)] = {.port = i % 2 == 0 ? kNic : kTap};
    before.judge();

    Bench after;
    after.host = before.host;
    after.maps = before.maps;
    after.reconciler = adopted(before.maps);
    after.host.links.erase(kNic);
    after.host.links.at(kOtherNic).master = Ifindex{20};
    after.host.links.at(kTap).port->state = PortState::blocking;
    after.host.drivers.at(kWire).xdp_target = false;
    for (std::uint32_t i = 2; i <= 8; i += 2) after.host.fdb.erase(key(i));
    after.host.fdb[key(1)].port = kWire;
    after.host.fdb[key(9)].port = kTap;
    after.host.links[Ifindex{30}] = plain_port(Ifindex{30}, "eth9", "", "mq");
    after.host.drivers[Ifindex{30}] = plain_nic();
    after.judge();
    expect_same(after.maps, fresh_maps(after.host, after.selection));
    EXPECT_THAT(after.maps.fdb, SizeIs(5));
}

// The daemon was killed in the middle of writing: an array's record without its place in the index, a target without
// its device. Adopting must not take the half for the whole.
TEST(Reconcile, AdoptsWhatWasHalfWritten) {
    Bench before;
    before.judge();
    FakeMaps maps = before.maps;
    maps.index[number(kNic)] = 0;

    Bench after;
    after.maps = maps;
    after.reconciler = adopted(maps);
    after.judge();
    EXPECT_EQ(after.maps.index[number(kNic)], after.slot(kNic));
    expect_same(after.maps, fresh_maps(after.host, after.selection));

    // A slot that looks free has the target of another device.
    Bench orphan;
    orphan.maps.targets[1] = 77;
    orphan.reconciler = adopted(orphan.maps);
    orphan.judge();
    expect_same(orphan.maps, fresh_maps(orphan.host, orphan.selection));
}

TEST(Reconcile, RewriteMakesUnconfirmed) {
    Bench bench;
    bench.host.fdb[key(1)] = {.port = kNic};
    bench.judge();
    bench.maps.fdb.at(to_map_key(key(1))).distrusted = 1;
    Operations operations;
    bench.reconciler.rewrite(to_map_key(key(2)), operations);
    EXPECT_THAT(operations, IsEmpty()) << "what is not held is not made";
    bench.reconciler.rewrite(to_map_key(key(1)), operations);
    bench.maps.apply(operations, bench.reconciler);
    EXPECT_EQ(bench.maps.fdb.at(to_map_key(key(1))).distrusted, 0);
    expect_same(bench.maps, fresh_maps(bench.host, bench.selection));
}

// One failure of each kind, then the daemon's next look, which must repair it though nothing has changed.
TEST(Reconcile, OneFailureOfEachKindIsRepaired) {
    const auto failing = [](std::size_t kind, const std::function<void(Bench&)>& act) {
        Bench bench;
        bench.host.links[Ifindex{20}] = plain_bridge(Ifindex{20}, "br1");
        bench.host.fdb[key(1)] = {.port = kNic};
        bench.host.fdb[key(2)] = {.port = kTap};
        bench.judge();
        int failures = 0;
        bench.maps.fails = [&failures, kind](const Operation& operation) {
            return operation.index() == kind && ++failures > 0;
        };
        act(bench);
        EXPECT_GT(failures, 0);
        bench.maps.fails = [](const Operation&) { return false; };
        bench.retry();
        expect_same(bench.maps, fresh_maps(bench.host, bench.selection));
        bench.maps.log.clear();
        bench.retry();
        bench.judge();
        EXPECT_THAT(bench.maps.log, IsEmpty());
    };
    const auto erase = Operation(EraseFdb{}).index();
    const auto write = Operation(WriteFdb{}).index();
    const auto write_device = Operation(WriteDevice{}).index();
    const auto clear_device = Operation(ClearDevice{}).index();
    const auto write_target = Operation(WriteTarget{}).index();
    const auto clear_target = Operation(ClearTarget{}).index();
    const auto leave = [](Bench& bench) {
        bench.host.links.at(kNic).master.reset();
        bench.judge();
    };
    const auto move = [](Bench& bench) {
        bench.host.links.at(kNic).master = Ifindex{20};
        bench.judge();
    };
    const auto change = [](Bench& bench) {
        bench.host.links.at(kNic).port->isolated = true;
        bench.judge();
    };
    const auto come = [](Bench& bench) {
        bench.host.links[Ifindex{30}] = plain_port(Ifindex{30}, "eth9", "", "mq");
        bench.host.drivers[Ifindex{30}] = plain_nic();
        bench.judge();
    };
    const auto no_target = [](Bench& bench) {
        bench.host.drivers.at(kWire).xdp_target = false;
        bench.judge();
    };
    const auto entry_gone = [](Bench& bench) {
        bench.host.fdb.erase(key(1));
        bench.judge({key(1)});
    };
    const auto entry_moves = [](Bench& bench) {
        bench.host.fdb[key(1)].port = kTap;
        bench.judge({key(1)});
    };
    const auto entry_comes = [](Bench& bench) {
        bench.host.fdb[key(3)].port = kTap;
        bench.judge({key(3)});
    };
    {
        SCOPED_TRACE("erase an entry that is gone");
        failing(erase, entry_gone);
    }
    {
        SCOPED_TRACE("erase an entry that moves");
        failing(erase, entry_moves);
    }
    {
        SCOPED_TRACE("write an entry that moves");
        failing(write, entry_moves);
    }
    {
        SCOPED_TRACE("write a new entry");
        failing(write, entry_comes);
    }
    {
        SCOPED_TRACE("change a device");
        failing(write_device, change);
    }
    {
        SCOPED_TRACE("write a new device");
        failing(write_device, come);
    }
    {
        SCOPED_TRACE("clear a device that left");
        failing(clear_device, leave);
    }
    {
        SCOPED_TRACE("clear a device that moved");
        failing(clear_device, move);
    }
    {
        SCOPED_TRACE("write a target");
        failing(write_target, come);
    }
    {
        SCOPED_TRACE("clear a target of a device that left");
        failing(clear_target, leave);
    }
    {
        SCOPED_TRACE("clear a target of a device that moved");
        failing(clear_target, move);
    }
    {
        SCOPED_TRACE("clear a target of a device that stays");
        failing(clear_target, no_target);
    }
}

// Both halves of a change of one entry fail, and then the entry goes: the old one must not stay in the map.
TEST(Reconcile, EntryWhoseEraseAndWriteFailedIsNotForgotten) {
    Bench bench;
    bench.host.fdb[key(1)] = {.port = kNic};
    bench.judge();
    bench.host.fdb[key(1)] = {.port = kTap};
    Operations operations;
    bench.reconciler.reconcile_fdb(bench.host, bench.plan, key(1), operations);
    ASSERT_EQ(operations.size(), 2U);
    bench.maps.fails = [](const Operation&) { return true; };
    bench.maps.apply(operations, bench.reconciler);
    bench.maps.fails = [](const Operation&) { return false; };
    bench.host.fdb.clear();
    bench.retry();
    EXPECT_THAT(bench.maps.fdb, IsEmpty());
}

// A random life of a host: ports and addresses come, move and go, operations fail.
class RandomLife {
public:
    RandomLife(std::uint32_t seed, bool failures) : random_(seed) {
        bench.host.links[kSecondBridge] = plain_bridge(kSecondBridge, "br1");
        if (failures) bench.maps.fails = [this](const Operation&) { return number(8) == 0; };
    }

    void step() {
        std::set<FdbKey> dirty;
        for (std::uint32_t i = number(6); i > 0; i--) change(dirty);
        bench.judge(dirty);
        if (number(3) == 0) bench.retry();
    }

    Bench bench;

private:
    static constexpr Ifindex kSecondBridge{20};

    std::uint32_t number(std::uint32_t below) {
        return std::uniform_int_distribution<std::uint32_t>(0, below - 1)(random_);
    }
    // Four indices, each of two devices that share a place.
    Ifindex device() { return Ifindex{100 + number(4) + (number(3) == 0 ? std::uint32_t{DEVICE_INDEX_SIZE} : 0U)}; }
    Ifindex any_port() { return number(3) == 0 ? Ifindex{11 + number(6)} : device(); }
    Ifindex bridge() { return number(2) == 0 ? kBridge : kSecondBridge; }

    void change(std::set<FdbKey>& dirty) {
        Host& host = bench.host;
        const Ifindex index = device();
        switch (number(12)) {
            case 0:
                host.links[index] = plain_port(index, "d" + std::to_string(underpass::number(index)), "", "mq");
                host.links[index].master = bridge();
                host.drivers[index] = plain_nic();
                break;
            case 1: host.links.erase(index); break;
            case 2:
                if (const auto link = host.links.find(any_port()); link != host.links.end())
                    link->second.master = bridge();
                break;
            case 3:
                if (const auto link = host.links.find(any_port()); link != host.links.end() && link->second.port)
                    link->second.port->isolated = number(2) == 0;
                break;
            case 4: host.drivers[any_port()].xdp_target = number(2) == 0; break;
            case 5: host.drivers[kContainer].peer->up = number(2) == 0; break;
            case 6:
                if (number(10) == 0)
                    bench.selection.all = number(2) == 0 ? std::nullopt : std::optional(HookChoice::tc);
                break;
            case 7: host.links[bridge()].bridge->vlan_filtering = number(2) == 0; break;
            case 8: {
                const auto first = static_cast<std::uint16_t>(1 + number(3));
                host.vlans[any_port()] = {.pvid = Vid{static_cast<std::uint16_t>(number(3))},
                                          .ranges = {{.first = first,
                                                      .last = static_cast<std::uint16_t>(first + number(30)),
                                                      .untagged = number(2) == 0}}};
                break;
            }
            case 9: vlan_device(); break;
            default:
                for (std::uint32_t i = number(4); i > 0; i--) {
                    FdbKey one = key(number(12), bridge());
                    if (number(6) == 0) one.mac = kContainerMac;
                    if (number(3) == 0) one.vid = Vid{static_cast<std::uint16_t>(number(3))};
                    if (number(3) == 0)
                        host.fdb.erase(one);
                    else
                        host.fdb[one] = {.port = any_port(), .local = number(6) == 0, .sticky = number(4) == 0};
                    dirty.insert(one);
                }
        }
        if (!bench.selection.all && number(2) == 0) bench.selection.all = HookChoice::automatic;
    }

    // One of three on each of two NICs: it comes, moves, or goes.
    void vlan_device() {
        const Ifindex lower{11 + number(2)};
        const auto vid = static_cast<std::uint16_t>(1 + number(3));
        const Ifindex index{300 + underpass::number(lower) * 10 + vid};
        if (number(3) == 0) {
            bench.host.links.erase(index);
            return;
        }
        Link link = plain_port(index, "v" + std::to_string(underpass::number(index)), "vlan", "noqueue");
        link.master = bridge();
        link.lower = lower;
        link.vlan = VlanAttributes{.id = Vid{vid}, .reorder_header = number(6) != 0};
        bench.host.links[index] = link;
    }

    std::mt19937 random_;
};

constexpr Ifindex kVxlan{40}, kUplink{41};

Bench bench_with_tunnel(std::size_t room = kRoom) {
    Bench bench(room);
    Host& host = bench.host;
    host.finds_connections = true;
    host.links[kUplink] = plain_link(kUplink, "eth0", "", "mq");
    host.drivers[kUplink] = plain_nic();
    host.links[kVxlan] = plain_port(kVxlan, "vxlan7", "vxlan", "noqueue");
    VxlanAttributes& vxlan = host.links[kVxlan].vxlan.emplace();
    vxlan.vni = 7;
    vxlan.port = 4789;
    vxlan.lower = kUplink;
    vxlan.learning = true;
    return bench;
}

const std::vector<std::uint32_t> kTunnelWords = {7, htons(4789), AF_INET};

TEST(Reconcile, Tunnel) {
    Bench bench = bench_with_tunnel();
    bench.judge();
    const auto slots = [&bench] { return bench.maps.tunnels; };
    using Tunnels = std::map<std::vector<std::uint32_t>, std::uint32_t>;
    EXPECT_EQ(slots(), (Tunnels{{kTunnelWords, bench.slot(kVxlan)}}));
    EXPECT_NE(bench.maps.devices.at(bench.slot(kUplink)).flags & DEVICE_UNDERLAY, 0U);
    EXPECT_EQ(bench.maps.devices.at(bench.slot(kUplink)).bridge, 0U);

    // Somebody captures there; a failed removal is done again.
    bench.host.links[kVxlan].promiscuity = 2;
    bench.maps.fails = [](const Operation& operation) { return std::holds_alternative<EraseTunnel>(operation); };
    bench.judge();
    EXPECT_THAT(slots(), SizeIs(1));
    bench.maps.fails = [](const Operation&) { return false; };
    bench.retry();
    EXPECT_THAT(slots(), IsEmpty());
    EXPECT_EQ(bench.slot(kUplink), 0U) << "it carries nothing any more";

    // An earlier daemon's.
    Reconciler next(kRoom);
    next.adopt({}, {}, {}, {}, {{{8, htons(4789), AF_INET}, 5}});
    Plan plan = make_plan(bench.host, bench.selection, {});
    EXPECT_EQ(count<EraseTunnel>(next.reconcile_devices(plan)), 1U);
}

TEST(Reconcile, Vteps) {
    Bench bench = bench_with_tunnel(2);
    const FdbKey one = key(1, kVxlan), two = key(2, kVxlan), three = key(3, kVxlan);
    bench.host.vteps[one] = {*IpAddress::parse("192.0.2.2"), false};
    bench.host.vteps[two] = {*IpAddress::parse("2001:db8::2"), true};
    bench.judge();
    ASSERT_THAT(bench.maps.vteps, SizeIs(2));
    const vtep learned = bench.maps.vteps.at(to_map_key(one));
    EXPECT_EQ(ntohl(learned.address[0]), 0xc0000202U);
    EXPECT_EQ(learned.address[1] | learned.address[2] | learned.address[3], 0U);
    EXPECT_EQ(learned.fixed | learned.distrusted, 0);
    EXPECT_EQ(learned.shown_ns, 0U);
    EXPECT_EQ(ntohl(bench.maps.vteps.at(to_map_key(two)).address[3]), 2U);
    EXPECT_EQ(bench.maps.vteps.at(to_map_key(two)).fixed, 1);

    bench.maps.log.clear();
    bench.judge();
    EXPECT_THAT(bench.maps.log, IsEmpty());
    bench.judge_vteps({one});
    EXPECT_EQ(count<EraseVtep>(bench.maps.log), 1U) << "changed and changed back: written anew";
    EXPECT_EQ(count<WriteVtep>(bench.maps.log), 1U);
    Operations rewritten;
    bench.reconciler.rewrite_vtep(to_map_key(two), rewritten);
    EXPECT_THAT(rewritten, SizeIs(2));
    EXPECT_EQ(std::get<WriteVtep>(rewritten.at(1)).entry.fixed, 1);

    bench.host.vteps[three] = bench.host.vteps[one];
    bench.judge_vteps({three});
    EXPECT_EQ(bench.reconciler.vteps_left_out(), 1U);
    bench.host.vteps.erase(one);
    bench.judge_vteps({one});
    bench.judge();
    EXPECT_TRUE(bench.maps.vteps.contains(to_map_key(three))) << "there is room again";

    // What the kernel does not move any more is written so.
    bench.host.links[kVxlan].vxlan->learning = false;
    bench.judge();
    EXPECT_EQ(bench.maps.vteps.at(to_map_key(three)).fixed, 1);
    bench.maps.fails = [](const Operation& operation) { return std::holds_alternative<EraseVtep>(operation); };
    bench.host.vteps.erase(three);
    bench.judge_vteps({three});
    bench.maps.fails = [](const Operation&) { return false; };
    EXPECT_THAT(bench.reconciler.take_failed_vteps(), testing::ElementsAre(three));
    bench.judge_vteps({three});
    EXPECT_THAT(bench.maps.vteps, SizeIs(1));
    bench.host.links.erase(kVxlan);
    bench.judge();
    EXPECT_THAT(bench.maps.vteps, IsEmpty());
}

// Of two devices that share a place in the index the first to come has it: a fresh start may choose the other, which is
// no less right. So the comparison is with a fresh start on a host without those that lost.
Host without_refused(const Bench& bench) {
    Host host = bench.host;
    for (const auto& [index, plan] : bench.plan)
        for (const PortPlan& port : plan.ports)
            if (!bench.reconciler.slot_of(port.index)) host.links.at(port.index).master = Ifindex{98};
    return host;
}

bool xdp_is_the_same(const Plan& a, const Host& host, const Selection& selection) {
    const Plan b = make_plan(host, selection, {});
    for (const auto& [index, plan] : a)
        for (const PortPlan& port : plan.ports) {
            const PortPlan* other = find_port(b.at(index), port.index);
            if (other != nullptr && other->xdp_target != port.xdp_target) return false;
        }
    return true;
}

void live(bool failures) {
    int compared = 0;
    for (std::uint32_t seed = 1; seed <= 300; seed++) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        RandomLife life(seed, failures);
        for (int step = 0; step < 40; step++) life.step();
        Bench& bench = life.bench;
        bench.maps.fails = [](const Operation&) { return false; };
        bench.retry();
        bench.maps.log.clear();
        bench.judge();
        EXPECT_THAT(bench.maps.log, IsEmpty()) << "in step, nothing is left to write";
        const Host host = without_refused(bench);
        if (!xdp_is_the_same(bench.plan, host, bench.selection)) continue;
        compared++;
        expect_same(bench.maps, fresh_maps(host, bench.selection));
        if (testing::Test::HasFailure()) return;
    }
    EXPECT_GT(compared, 250);
}

TEST(Reconcile, RandomLifeEndsAsAFreshStart) {
    live(false);
}
TEST(Reconcile, RandomLifeWithFailuresEndsAsAFreshStart) {
    live(true);
}

}  // namespace
}  // namespace underpass
