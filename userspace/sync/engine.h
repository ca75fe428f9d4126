// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The engine keeps the programs, their attachments and their maps in step with the kernel: events -> mirror -> rules ->
// reconcile -> writer. A start, lost events and an adopted predecessor all take the same way: dump everything, judge
// everything, write the difference.
//
// The maps are believed (the heartbeat beats) only when every event that has arrived has been written.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "loader/attach.h"
#include "loader/object.h"
#include "model/rules.h"
#include "netlink/decode_nftables.h"
#include "netlink/netfilter.h"
#include "netlink/socket.h"
#include "sync/mirror.h"
#include "sync/reconcile.h"
#include "sync/state.h"
#include "sync/survey.h"
#include "sync/writer.h"

namespace underpass {

class Engine {
public:
    using Clock = std::chrono::steady_clock;

    struct Statistics {
        std::uint64_t events = 0;
        std::uint64_t resyncs = 0;
        std::uint64_t overruns = 0;
        Clock::time_point started;
        Clock::time_point resynced;
    };

    // Loads the programs and adopts what `state` says an earlier daemon left. Nothing is attached yet.
    Engine(const PinDirectory& pins, State state, const Programs::Sizes& sizes);

    // Makes `selection` true: attaches, writes, beats. Returns when it is.
    void select(Selection selection);
    const Selection& selection() const { return state_.selection; }
    // Whether the rules would take the bridge or device, without changing anything but what is known of it.
    BridgePlan consider(Ifindex device, HookChoice choice);
    // Whether VXLAN packets would go fast by the device, once consider() has looked at it.
    bool would_carry(Ifindex device, const Selection& selection) const;

    // Descriptors to wait for; call on_events() when one is readable.
    std::vector<int> event_fds() const;
    void on_events();
    // Every kTick: beats, polls what makes no events, looks again at what failed.
    void on_tick(Clock::time_point now);
    // Writes additions that have waited long enough. The time after which to call it again; absent: nothing waits.
    std::optional<std::chrono::milliseconds> flush(Clock::time_point now);

    // Detaches everything and removes the pins.
    void take_down();
    // Forces a full dump, as lost events do.
    void resync();

    const Host& host() const { return mirror_.host(); }
    const Plan& plan() const { return plan_; }
    const Programs& programs() const { return programs_; }
    const Reconciler& reconciler() const { return reconciler_; }
    const Writer& writer() const { return writer_; }
    const Statistics& statistics() const { return statistics_; }
    const State& state() const { return state_; }
    // Flows in the map, as of the last look.
    std::size_t flow_count() const { return flow_count_; }

    static constexpr std::chrono::milliseconds kTick{50};

private:
    void judge();
    void judge(const Dirty& dirty);
    void judge_dump(bool entries_went);
    void write(const Operations& operations);
    void remove_first(const std::set<FdbKey>& fdb, const std::set<FdbKey>& vteps);
    // True if the kernel refused a hook, which changes the plan.
    bool attach_missing(const Plan& plan);
    void detach_unwanted();
    // True if a device has been told to leave VLAN tags in the bytes, which changes the plan.
    bool stop_stripping(const Plan& plan);
    void let_strip_again(Ifindex device, Attached& attached);
    void write_pending();
    void restore_distrusted();
    void audit(Clock::time_point now);
    void forget_idle_flows(Clock::time_point now);
    void distrust_rules();
    void read_rules();
    void watch_routes(const Plan& plan);
    void prepare_connections();
    void settle_connections(const std::vector<flow_key>& idle, Clock::time_point until);
    std::set<Ifindex> devices() const;
    std::uint64_t moved_sources() const;

    PinDirectory pins_;
    State state_;
    Programs programs_;
    Survey survey_;
    NetlinkSocket route_events_;
    NetlinkSocket filter_events_;
    NetlinkSocket filter_;
    std::optional<NetlinkSocket> policy_events_;  // IPsec; kernels may have none
    std::optional<NetlinkSocket> driver_events_;  // kernels before 6.3 have none
    Mirror mirror_;
    Reconciler reconciler_;
    Writer writer_;
    Plan plan_;
    std::optional<NetlinkSocket> route_changes_;  // while there are tunnels; nobody waits for it
    bool judged_ = false;
    bool resync_due_ = false;
    bool dumped_ = false;  // what has happened since the dump began is still to be taken in
    NftTransaction transaction_;
    bool rules_distrusted_ = false;
    std::optional<Clock::time_point> redump_at_;
    std::chrono::milliseconds redump_wait_;
    AttachFailures failures_;
    std::set<Ifindex> tc_current_;  // devices that run the programs of this build, by hook
    std::set<Ifindex> xdp_current_;
    std::set<Ifindex> witness_current_;
    std::set<Ifindex> stripping_;  // devices that strip VLAN tags, and are not to be told otherwise (again)
    std::set<FdbKey> pending_;     // additions that wait to be written together
    std::set<FdbKey> pending_vteps_;
    Clock::time_point pending_since_;
    QuickFacts quick_facts_;
    Clock::time_point next_audit_;
    Ifindex audited_ = Ifindex::none;  // the last that was looked at
    Clock::time_point next_restore_;
    Clock::time_point next_flows_;
    Clock::time_point next_preparation_;  // conntrack is not asked before, since it refused
    MapCursor flow_cursor_;
    std::size_t flows_seen_ = 0;  // in this round of the cursor
    std::size_t flow_count_ = 0;  // in the round before
    std::uint64_t moved_seen_ = 0;
    Statistics statistics_;
};

}  // namespace underpass
