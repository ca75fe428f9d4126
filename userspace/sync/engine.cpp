// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/engine.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <tuple>
#include <utility>
#include <variant>

#include "netlink/conntrack.h"
#include "netlink/decode.h"
#include "netlink/ethtool.h"
#include "netlink/netdev.h"

namespace underpass {

namespace {

constexpr std::chrono::milliseconds kCoalesce{1};  // additions wait this long for others
constexpr std::chrono::milliseconds kAudit{1000};  // what makes no events is looked at this often
constexpr std::chrono::milliseconds kRedumpFirst{50}, kRedumpLast{60000};  // between dumps that raced with removals

NetlinkSocket route_event_socket() {
    constexpr std::array<std::uint32_t, 10> kGroups = {
        RTNLGRP_LINK,        RTNLGRP_NEIGH,     RTNLGRP_TC,        RTNLGRP_BRVLAN,       RTNLGRP_IPV4_IFADDR,
        RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF};
    return NetlinkSocket(NETLINK_ROUTE, kGroups);
}

// A router's routes may change very often. So they have a socket of their own, which is read with the next events of
// others, or at the next tick: to wake up for each would cost far more than to look at it. When it overflows, nothing
// else is lost.
NetlinkSocket route_change_socket() {
    constexpr std::array<std::uint32_t, 3> kGroups = {RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_NEXTHOP};
    return NetlinkSocket(NETLINK_ROUTE, kGroups);
}

NetlinkSocket filter_event_socket() {
    constexpr std::array<std::uint32_t, 1> kGroups = {NFNLGRP_NFTABLES};
    return NetlinkSocket(NETLINK_NETFILTER, kGroups);
}

std::optional<NetlinkSocket> policy_event_socket() {
    constexpr std::array<std::uint32_t, 1> kGroups = {XFRMNLGRP_POLICY};
    try {
        return NetlinkSocket(NETLINK_XFRM, kGroups);
    } catch (const std::system_error&) {
        return std::nullopt;  // a kernel without IPsec has no policies
    }
}

// Conntrack has not seen all of its packets.
bool may_be_unsettled(const Netfilter& netfilter, const flow_key& key, const flow& flow) {
    const bool tracked = key.family == AF_INET ? netfilter.tracks_ipv4 : netfilter.tracks_ipv6;
    return tracked && key.protocol == IPPROTO_TCP && flow.packets > 0;
}

std::optional<NetlinkSocket> driver_event_socket() {
    const auto group = netdev_event_group();
    if (!group) return std::nullopt;
    return NetlinkSocket(NETLINK_GENERIC, std::span(&*group, 1));
}

}  // namespace

Engine::Engine(const PinDirectory& pins, State state, const Programs::Sizes& sizes)
    : pins_(pins),
      state_(std::move(state)),
      programs_(Programs::load(pins, sizes)),
      route_events_(route_event_socket()),
      filter_events_(filter_event_socket()),
      filter_(NETLINK_NETFILTER),
      policy_events_(policy_event_socket()),
      driver_events_(driver_event_socket()),
      reconciler_(programs_.fdb_size),
      writer_(programs_),
      redump_wait_(kRedumpFirst) {
    statistics_.started = Clock::now();
    next_audit_ = next_restore_ = statistics_.started + kAudit;
    if (programs_.adopted())
        reconciler_.adopt(programs_.devices.entries(), programs_.fdb.entries(), programs_.tx_ports.entries(),
                          programs_.vlan_uppers.entries(), programs_.tunnels.entries(), programs_.vteps.entries());
    for (const std::uint32_t ifindex : pinned_tc_devices(pins_, TcPoint::ingress))
        state_.attached[Ifindex{ifindex}].tc = TcMethod::tcx;
    for (const std::uint32_t ifindex : pinned_tc_devices(pins_, TcPoint::egress))
        state_.attached[Ifindex{ifindex}].witness = TcMethod::tcx;
    for (auto& [device, attached] : state_.attached)
        if (!attached.xdp && xdp_is_attached(number(device))) attached.xdp = XdpMethod::single;
    if (!programs_.why_no_connections().empty())
        spdlog::info("programs cannot look connections up here: {}", programs_.why_no_connections());
    quick_facts_ = read_quick_facts();
    resync();
    programs_.pin(pins_);
}

BridgePlan Engine::consider(Ifindex device, HookChoice choice) {
    std::set<Ifindex> fresh = devices_of(host(), {host().links.at(device).name}, false);
    for (const Ifindex known : devices()) fresh.erase(known);
    survey_.probe(mirror_.host(), fresh);
    survey_.read_traffic_control(mirror_.host(), fresh);
    return plan_bridge(host(), host().links.at(device), choice, failures_);
}

bool Engine::would_carry(Ifindex device, const Selection& selection) const {
    const Plan plan = make_plan(host(), selection, failures_);
    const auto found = plan.find(device);
    return found != plan.end() && !found->second.carries.empty() && found->second.refusal.empty();
}

std::vector<int> Engine::event_fds() const {
    std::vector<int> fds = {route_events_.fd(), filter_events_.fd(), programs_.requests.fd()};
    if (driver_events_) fds.push_back(driver_events_->fd());
    if (policy_events_) fds.push_back(policy_events_->fd());
    return fds;
}

std::set<Ifindex> Engine::devices() const {
    std::set<std::string> named;
    for (const auto& [name, choice] : selection().bridges) named.insert(name);
    return devices_of(host(), named, selection().all.has_value());
}

void Engine::select(Selection selection) {
    const std::set<Ifindex> before = devices();
    state_.selection = std::move(selection);
    failures_.clear();
    stripping_.clear();
    mirror_.mark_plan();
    for (const Ifindex device : devices())
        if (!before.contains(device)) {
            mirror_.apply(DriverChanged{device});
            mirror_.apply(TrafficControlChanged{device});
        }
    on_events();
    write_state(RunDirectory::of_this_namespace(), state_);
    // That can take long: what happened meanwhile is taken in as well, so that frames go fast when this returns.
    const std::uint64_t as_of = Heartbeat::now_ns();
    on_events();
    write_pending();
    programs_.heartbeat.beat(as_of);
}

void Engine::resync() {
    resync_due_ = true;  // until it is done: one that breaks off is begun again
    statistics_.resyncs++;
    mirror_.begin_resync();
    survey_.dump([this](const Event& event) { mirror_.apply(event); });
    mirror_.finish_resync();
    judge();
    resync_due_ = false;
    redump_at_.reset();
    dumped_ = true;
    statistics_.resynced = Clock::now();
}

// The kernel goes on with a dump by counting entries: one that goes meanwhile hides another from it, which would be
// slow for as long as nothing changes it. So what went while a dump was read has it read again, later and later.
void Engine::judge_dump(bool entries_went) {
    if (!entries_went) {
        redump_wait_ = kRedumpFirst;
        return;
    }
    redump_at_ = Clock::now() + redump_wait_;
    redump_wait_ = std::min(2 * redump_wait_, kRedumpLast);
}

// Until they are read nothing goes fast: that may take a while, in which other events wait.
void Engine::distrust_rules() {
    programs_.heartbeat.distrust();
    rules_distrusted_ = true;
    mirror_.apply(RulesetChanged{});
}

void Engine::on_events() {
    const std::uint64_t as_of = Heartbeat::now_ns();
    bool entries_went = false;
    const auto take = [&](const nlmsghdr* message) {
        const auto event = decode_event(message);
        if (!event) return;
        statistics_.events++;
        entries_went =
            entries_went || std::holds_alternative<FdbGone>(*event) || std::holds_alternative<VtepGone>(*event);
        mirror_.apply(*event);
    };
    const auto take_driver = [this](const nlmsghdr* message) {
        if (const auto event = decode_netdev_event(message)) mirror_.apply(*event);
    };
    const auto take_rules = [this](const nlmsghdr* message) {
        const auto event = transaction_.take(message);
        if (!event) return;
        statistics_.events++;
        if (std::holds_alternative<RulesetChanged>(*event))
            distrust_rules();
        else
            mirror_.apply(*event);
    };
    if (filter_events_.drain(take_rules) == Drained::overrun) distrust_rules();
    const auto take_policy = [this](const nlmsghdr*) { mirror_.apply(RoutingChanged{}); };
    if (policy_events_ && policy_events_->drain(take_policy) == Drained::overrun) mirror_.apply(RoutingChanged{});
    if (driver_events_ && driver_events_->drain(take_driver) == Drained::overrun)
        for (const Ifindex device : devices()) mirror_.apply(DriverChanged{device});
    if (route_events_.drain(take) == Drained::overrun) {
        resync_due_ = true;
        statistics_.overruns++;
        programs_.heartbeat.distrust();  // events are missing: nothing is certain until the dump is in
        spdlog::warn("events were lost (ENOBUFS): reading everything anew");
    }
    if (route_changes_ && route_changes_->drain(take) == Drained::overrun) mirror_.apply(RoutingChanged{});
    // Before anything that takes long.
    if (mirror_.routes_otherwise()) programs_.heartbeat.tell_change();
    if (std::exchange(dumped_, false)) judge_dump(entries_went);
    if (resync_due_)
        resync();
    else
        judge();
    if (std::exchange(rules_distrusted_, false)) programs_.heartbeat.beat(as_of);
    prepare_connections();
}

// What the mirror took in is judged: removals are written before anything slow is asked. Except the first time, when
// nothing is known: what was adopted is still right, or not believed until the first beat.
void Engine::judge() {
    const Dirty dirty = mirror_.take_dirty();
    try {
        judge(dirty);
    } catch (...) {
        // Nothing beats before it was judged, and the next look judges it again.
        mirror_.mark(dirty);
        throw;
    }
}

void Engine::judge(const Dirty& dirty) {
    if (dirty.routing || dirty.ruleset) programs_.heartbeat.tell_change();
    if (judged_) remove_first(dirty.fdb, dirty.vteps);
    const auto only_ours = [ours = devices()](std::set<Ifindex> devices) {
        std::erase_if(devices, [&ours](Ifindex device) { return !ours.contains(device); });
        return devices;
    };
    const std::set<Ifindex> probe = only_ours(dirty.probe);
    const std::set<Ifindex> traffic_control = only_ours(dirty.traffic_control);
    if (dirty.ruleset) read_rules();
    survey_.read_vlans(mirror_.host(), dirty.vlans);
    const bool changed = dirty.plan || dirty.ruleset || !dirty.vlans.empty();
    if (judged_ && changed) {
        survey_.find_vlan_uppers(mirror_.host(), false);
        // First with what was known of drivers, so that a port that left or stopped does not wait for the probes.
        Plan plan = make_plan(host(), selection(), failures_);
        for (auto& [index, bridge] : plan)
            for (PortPlan& port : bridge.ports)
                if (!tc_current_.contains(port.below)) {
                    port.record.flags &= ~static_cast<std::uint32_t>(DEVICE_INGRESS | DEVICE_EGRESS);
                    port.xdp_target = false;
                }
        watch_routes(plan);
        write(reconciler_.reconcile_devices(plan));
    }
    if (changed) survey_.find_vlan_uppers(mirror_.host());
    if (!probe.empty()) survey_.probe(mirror_.host(), probe);
    if (!traffic_control.empty()) survey_.read_traffic_control(mirror_.host(), traffic_control);
    if (changed || !probe.empty() || !traffic_control.empty()) {
        Plan plan = make_plan(host(), selection(), failures_);
        if (stop_stripping(plan)) plan = make_plan(host(), selection(), failures_);
        // A hook that the kernel refused changes the plan; each device can refuse each hook once.
        while (attach_missing(plan)) plan = make_plan(host(), selection(), failures_);
        watch_routes(plan);
        write(reconciler_.reconcile_devices(plan));
        plan_ = std::move(plan);
        detach_unwanted();
    }
    judged_ = true;
    if (reconciler_.take_fdb_stale()) write(reconciler_.reconcile_all_fdb(host(), plan_));
}

void Engine::read_rules() {
    survey_.read_netfilter(mirror_.host());
    mirror_.host().finds_connections = programs_.why_no_connections().empty();
    const Netfilter& netfilter = host().netfilter;
    const std::uint32_t tracked = (netfilter.tracks_ipv4 ? std::uint32_t{CONTROL_TRACKED_IPV4} : 0) |
                                  (netfilter.tracks_ipv6 ? std::uint32_t{CONTROL_TRACKED_IPV6} : 0);
    if (programs_.heartbeat.set_tracked(tracked)) programs_.heartbeat.tell_change();
    // They stay in place until the others are there.
    if (tracked != 0 && programs_.let_xdp_find_connections()) xdp_current_.clear();
}

// Before the first tunnel is in the maps. By what happened until then no flow is judged.
void Engine::watch_routes(const Plan& plan) {
    const auto has_tunnel = [](const auto& of_device) {
        return std::ranges::any_of(of_device.second.ports,
                                   [](const PortPlan& port) { return port.tunnel.has_value(); });
    };
    if (!std::ranges::any_of(plan, has_tunnel)) return route_changes_.reset();
    if (route_changes_) return;
    route_changes_.emplace(route_change_socket());
    programs_.heartbeat.tell_change();
}

// One that is gone is none of our business; anything else that conntrack says, it will say of all for a while.
void Engine::prepare_connections() {
    constexpr std::chrono::seconds kRest{5};
    for (const flow_request& request : programs_.requests.take()) {
        if (Clock::now() < next_preparation_) continue;
        try {
            make_liberal(filter_, request.key);
        } catch (const NetlinkError& error) {
            if (error.code().value() == ENOENT) continue;
            next_preparation_ = Clock::now() + kRest;
            spdlog::warn("TCP connections stay the kernel's for now: {}", error.what());
        }
    }
}

void Engine::settle_connections(const std::vector<flow_key>& idle, Clock::time_point until) {
    for (const flow_key& key : idle) {
        if (Clock::now() >= until) return;
        try {
            settle(filter_, key);
        } catch (const std::system_error& error) {
            if (error.code().value() != ENOENT) spdlog::debug("an idle connection is left as it is: {}", error.what());
        }
    }
}

void Engine::remove_first(const std::set<FdbKey>& fdb, const std::set<FdbKey>& vteps) {
    if (fdb.empty() && vteps.empty()) return;
    Operations operations;
    for (const FdbKey& key : fdb) reconciler_.remove_changed(key, operations);
    for (const FdbKey& key : vteps) reconciler_.remove_changed_vtep(key, operations);
    write(operations);
    if (pending_.empty() && pending_vteps_.empty()) pending_since_ = Clock::now();
    pending_.insert(fdb.begin(), fdb.end());
    pending_vteps_.insert(vteps.begin(), vteps.end());
}

void Engine::write(const Operations& operations) {
    const Operations failed = writer_.apply(operations);
    for (const Operation& operation : failed) reconciler_.failed(operation);
    if (!failed.empty())
        spdlog::error("{} of {} map updates failed: {}", failed.size(), operations.size(), writer_.last_failure());
}

bool Engine::attach_missing(const Plan& plan) {
    bool refused = false;
    const State before = state_;
    const auto attempt = [&](Ifindex device, Hook hook, std::set<Ifindex>& current, const auto& attach) {
        const auto failure = failures_.find(device);
        if (current.contains(device) || (failure != failures_.end() && failure->second.hook == hook)) return;
        try {
            attach(number(device), state_.attached[device]);
            current.insert(device);
        } catch (const std::exception& error) {
            failures_[device] = {hook, error.what()};
            refused = true;
        }
    };
    for (const auto& [index, bridge] : plan) {
        for (const PortPlan& port : bridge.ports) {
            attempt(port.below, Hook::tc, tc_current_, [this](std::uint32_t ifindex, Attached& attached) {
                attached.tc = attach_tc(programs_, pins_, ifindex, TcPoint::ingress);
            });
            if (!port.xdp || !tc_current_.contains(port.below)) continue;
            attempt(port.below, Hook::xdp, xdp_current_, [this](std::uint32_t ifindex, Attached& attached) {
                attached.xdp = attach_xdp(programs_, ifindex);
            });
        }
        for (const Ifindex device : bridge.witnessed())
            attempt(device, Hook::tc, witness_current_, [this](std::uint32_t ifindex, Attached& attached) {
                attached.witness = attach_tc(programs_, pins_, ifindex, TcPoint::egress);
            });
    }
    if (state_ != before) write_state(RunDirectory::of_this_namespace(), state_);
    return refused;
}

// The state is written before the device is changed: whatever happens, `down` finds what it was.
bool Engine::stop_stripping(const Plan& plan) {
    std::set<Ifindex> changed;
    for (const auto& [index, bridge] : plan)
        for (const PortPlan& port : bridge.ports) {
            if (!selection().rxvlan_off || bridge.choice == HookChoice::tc) continue;
            if (!port.strips_tags || !stripping_.insert(port.below).second) continue;
            std::set<std::string>& off = state_.attached[port.below].features_off;
            const auto before = off;
            const std::string& name = host().links.at(port.below).name;
            try {
                const Ethtool device(name);
                off.merge(device.active_among(kVlanStripping));
                write_state(RunDirectory::of_this_namespace(), state_);
                device.switch_features(off, false);
                changed.insert(port.below);
                spdlog::info("{}: VLAN tags stay in the bytes from now on (rxvlan off)", name);
            } catch (const std::exception& error) {
                off = before;
                spdlog::warn("{}: rxvlan cannot be turned off: {}", name, error.what());
            }
        }
    survey_.probe(mirror_.host(), changed);
    return !changed.empty();
}

// Of a device without XDP. It is not told otherwise again before somebody asks anew.
void Engine::let_strip_again(Ifindex device, Attached& attached) {
    const auto link = host().links.find(device);
    if (attached.features_off.empty()) return;
    try {
        if (link != host().links.end()) restore_features(link->second.name, attached.features_off);
    } catch (const std::exception& error) {
        spdlog::warn("{}: rxvlan cannot be turned on again: {}", link->second.name, error.what());
    }
    attached.features_off.clear();
    mirror_.apply(DriverChanged{device});
}

void Engine::detach_unwanted() {
    const State before = state_;
    std::map<Ifindex, bool> wanted;  // by XDP too
    std::set<Ifindex> witnesses;
    for (const auto& [index, bridge] : plan_) {
        for (const PortPlan& port : bridge.ports) wanted[port.below] |= port.xdp;
        witnesses.merge(bridge.witnessed());
    }
    for (auto next = state_.attached.begin(); next != state_.attached.end();) {
        const auto here = next++;
        auto& [index, attached] = *here;
        const auto device = wanted.find(index);
        if (attached.xdp && (device == wanted.end() || !device->second)) {
            detach_xdp(number(index));
            attached.xdp.reset();
            xdp_current_.erase(index);
        }
        if (!attached.xdp) let_strip_again(index, attached);
        if (attached.witness && !witnesses.contains(index)) {
            detach_tc(pins_, number(index), TcPoint::egress, is_alone(host(), index));
            attached.witness.reset();
            witness_current_.erase(index);
        }
        if (device == wanted.end() && (attached.tc || !attached.witness)) {
            stripping_.erase(index);
            detach_tc(pins_, number(index), TcPoint::ingress, is_alone(host(), index));
            attached.tc.reset();
            tc_current_.erase(index);
        }
        if (device != wanted.end() || witnesses.contains(index)) continue;
        failures_.erase(index);
        state_.attached.erase(here);
    }
    if (state_ != before) write_state(RunDirectory::of_this_namespace(), state_);
}

std::optional<std::chrono::milliseconds> Engine::flush(Clock::time_point now) {
    if (pending_.empty() && pending_vteps_.empty()) return std::nullopt;
    const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(now - pending_since_);
    if (waited < kCoalesce) return kCoalesce - waited;
    write_pending();
    return std::nullopt;
}

void Engine::write_pending() {
    Operations operations;
    for (const FdbKey& key : pending_) reconciler_.reconcile_fdb(host(), plan_, key, operations);
    for (const FdbKey& key : pending_vteps_) reconciler_.reconcile_vtep(host(), plan_, key, operations);
    pending_.clear();
    pending_vteps_.clear();
    write(operations);
}

void Engine::on_tick(Clock::time_point now) {
    const std::uint64_t as_of = Heartbeat::now_ns();
    const QuickFacts facts = read_quick_facts();
    if (facts != quick_facts_) {
        quick_facts_ = facts;
        distrust_rules();
    }
    const std::set<FdbKey> failed = reconciler_.take_failed_fdb();
    pending_.insert(failed.begin(), failed.end());
    pending_vteps_.merge(reconciler_.take_failed_vteps());
    if (reconciler_.take_failed_devices()) mirror_.mark_plan();
    if (redump_at_ && now >= *redump_at_) resync_due_ = true;
    on_events();
    if (now >= next_audit_) audit(now);
    if (flow_cursor_ || now >= next_flows_) forget_idle_flows(now);
    if (now >= next_restore_) {
        next_restore_ = now + kAudit;
        restore_distrusted();
    }
    programs_.heartbeat.beat(as_of);
}

// Attributes that change without an event: what is at the other end of a veth, programs by tcx links, who captures, a
// hook that somebody else removed. A few ports each time, since removals wait for it, and each about once per kAudit.
void Engine::audit(Clock::time_point now) {
    std::set<Ifindex> ports;
    for (const auto& [index, bridge] : plan_) {
        ports.insert(index);
        for (const PortPlan& port : bridge.ports) ports.insert({port.index, port.below});
    }
    const std::size_t ticks = kAudit / kTick;
    const std::size_t at_once = (ports.size() + ticks - 1) / ticks;
    next_audit_ = now + kAudit / std::clamp<std::size_t>(ports.size(), 1, ticks);
    std::set<Ifindex> devices;
    for (auto next = ports.upper_bound(audited_); devices.size() < at_once; ++next) {
        if (next == ports.end()) next = ports.begin();
        devices.insert(audited_ = *next);
    }
    std::set<Ifindex> looked_at = devices;
    for (const auto& [index, bridge] : plan_) looked_at.insert(index);
    const auto look = [&] {
        std::vector<std::tuple<Link, DriverFacts, TrafficControl, std::set<Vid>>> facts;
        facts.reserve(looked_at.size());
        for (const Ifindex device : looked_at) {
            const auto uppers = host().vlan_uppers.find(device);
            facts.emplace_back(host().links.at(device), mirror_.host().drivers[device],
                               mirror_.host().traffic_control[device],
                               uppers == host().vlan_uppers.end() ? std::set<Vid>() : uppers->second);
        }
        return facts;
    };
    std::erase_if(looked_at, [this](Ifindex device) { return !host().links.contains(device); });
    const auto before = look();
    survey_.probe(mirror_.host(), devices);
    survey_.read_traffic_control(mirror_.host(), devices);
    survey_.read_silent_changes(mirror_.host(), looked_at);
    survey_.ask_for_vlan_uppers_again(devices);
    survey_.find_vlan_uppers(mirror_.host());
    bool changed = before != look();
    const auto look_at_program = [&](Ifindex device, std::set<Ifindex>& current, TcPoint point) {
        if (!current.contains(device) || tc_is_attached(programs_, pins_, number(device), point)) return;
        spdlog::warn("the TC program was taken off device {}: putting it back", number(device));
        current.erase(device);
        changed = true;
    };
    for (const Ifindex device : devices) {
        look_at_program(device, tc_current_, TcPoint::ingress);
        look_at_program(device, witness_current_, TcPoint::egress);
    }
    if (!changed) return;
    mirror_.mark_plan();
    judge();
}

std::uint64_t Engine::moved_sources() const {
    static const std::size_t cpus = possible_cpus();
    std::uint64_t total = 0;
    for (const auto& [index, bridge] : plan_)
        for (const PortPlan& port : bridge.ports)
            if (const auto slot = reconciler_.slot_of(port.index))
                for (const device_counters& counters : programs_.counters.lookup(*slot, cpus))
                    total +=
                        counters.by_reason[REASON_SOURCE_MOVED].packets + counters.by_reason[REASON_VTEP_MOVED].packets;
    return total;
}

// The program distrusts an entry whose source it saw elsewhere. Mostly the kernel then moves it, and the event writes
// it anew; where the kernel did not (a spoofed frame that a rule dropped), it is written anew here. That is safe
// whatever happened: what is written is believed once the host has been seen.
void Engine::restore_distrusted() {
    const std::uint64_t moved = moved_sources();
    if (moved == moved_seen_) return;
    moved_seen_ = moved;
    Operations operations;
    for (const auto& [key, entry] : programs_.fdb.entries())
        if (entry.distrusted) reconciler_.rewrite(key, operations);
    for (const auto& [key, entry] : programs_.vteps.entries())
        if (entry.distrusted) reconciler_.rewrite_vtep(key, operations);
    write(operations);
}

// A round through all of them is begun once in a while, and takes some ticks where they are many. Whoever is erased
// while a frame of it comes begins anew: that costs speed, no frame.
void Engine::forget_idle_flows(Clock::time_point now) {
    constexpr std::size_t kLeast = 4096, kTicksPerRound = 100, kSettledAtOnce = 256;
    if (!flow_cursor_) next_flows_ = now + kAudit;
    const std::uint64_t now_ns = Heartbeat::now_ns();
    const std::size_t at_once = std::max<std::size_t>(kLeast, programs_.flows_size / kTicksPerRound);
    const auto some = programs_.flows.next_entries(flow_cursor_, at_once);
    std::vector<flow_key> idle;
    for (const auto& [key, flow] : some) {
        if (flow.asked_ns + FLOW_FORGET_NS >= now_ns) continue;
        if (may_be_unsettled(host().netfilter, key, flow)) {
            // The others have their turn in the next round.
            if (idle.size() == kSettledAtOnce) continue;
            idle.push_back(key);
        }
        programs_.flows.erase(key);
    }
    settle_connections(idle, now + kTick);
    flows_seen_ += some.size();
    if (!flow_cursor_) flow_count_ = std::exchange(flows_seen_, 0);
}

void Engine::take_down() {
    programs_.heartbeat.distrust();
    std::vector<flow_key> connections;
    for (const auto& [key, flow] : programs_.flows.entries())
        if (may_be_unsettled(host().netfilter, key, flow)) connections.push_back(key);
    select({});
    programs_.heartbeat.distrust();
    // Whoever waits for `down` does not wait long.
    settle_connections(connections, Clock::now() + std::chrono::seconds(1));
    clean_up(pins_, state_);
    state_ = {};
}

}  // namespace underpass
