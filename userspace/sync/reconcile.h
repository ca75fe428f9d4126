// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Wanted against actual: which map operations bring the maps in step with the plan, in which order. Pure; what it
// believes to be in the maps is corrected by the writer's results and, at the start, by what the maps hold.
//
// Order: what takes trust away comes first (FDB entries and VTEPs, then device flags), then what gives it (devices,
// then the entries). A slot stands for one device in one bridge; a freed one is used again as late as possible, so that
// no entry and no running program can take the new device for the old.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "model/rules.h"

namespace underpass {

struct EraseFdb {
    fdb_key key;
};
struct WriteFdb {
    fdb_key key;
    fdb_entry entry;  // not shown yet, not distrusted
};
struct WriteDevice {
    std::uint32_t slot;
    device record;
};
// The slot's record is zero from now on. `place` of the index map is cleared too, if it still names the slot.
struct ClearDevice {
    std::uint32_t slot;
    std::uint32_t ifindex;
};
struct WriteTarget {
    std::uint32_t slot;
    std::uint32_t ifindex;
};
struct ClearTarget {
    std::uint32_t slot;
};
// What the port with this slot may do in each VLAN; written before the slot's record.
struct WriteVlans {
    std::uint32_t slot;
    std::shared_ptr<const port_vlans> vlans;  // large, and operations are many
};
struct WriteUpper {
    vlan_upper_key key;
    std::uint32_t slot;
};
struct EraseUpper {
    vlan_upper_key key;
};
// A VXLAN device's packets, and its slot.
struct WriteTunnel {
    tunnel_key key;
    std::uint32_t slot;
};
struct EraseTunnel {
    tunnel_key key;
};
struct WriteVtep {
    fdb_key key;
    vtep entry;  // not shown yet, not distrusted
};
struct EraseVtep {
    fdb_key key;
};
using Operation = std::variant<EraseFdb, WriteFdb, WriteDevice, ClearDevice, WriteTarget, ClearTarget, WriteVlans,
                               WriteUpper, EraseUpper, WriteTunnel, EraseTunnel, WriteVtep, EraseVtep>;
using Operations = std::vector<Operation>;

bool is_removal(const Operation& operation);

fdb_key to_map_key(const FdbKey& key);

struct FdbKeyHash {
    std::size_t operator()(const fdb_key& key) const noexcept;
};
struct FdbKeyEqual {
    bool operator()(const fdb_key& a, const fdb_key& b) const noexcept;
};

// Entries of a map by FDB keys, as the map is believed to hold them. `Entry` has the operations Write and Erase; what a
// map holds of it, Held; and write(key, held). As Held is by default, the map may hold anything, and no entry is wanted
// like that.
template <class Entry>
class Entries {
public:
    using Held = typename Entry::Held;

    explicit Entries(std::size_t size) : size_(size) {}

    void adopt(const fdb_key& key, const Held& held) { held_[key] = held; }
    void remove(const FdbKey& key, Operations& operations);
    // Absent: no entry.
    void reconcile(const FdbKey& key, const std::optional<Held>& wanted, Operations& operations);
    // Erased and written, as when it is new.
    void rewrite(const fdb_key& key, Operations& operations);
    // What the map has and `Record`s have not.
    template <class Record>
    std::vector<FdbKey> gone(const std::map<FdbKey, Record>& records) const;
    void failed(const typename Entry::Write& write);
    void failed(const typename Entry::Erase& erase);
    std::set<FdbKey> take_failed() { return std::exchange(failed_, {}); }
    void judge_all() { left_out_.clear(); }

    std::size_t size() const { return held_.size(); }
    // Those that did not fit in when they were last judged; and whether there is room for one by now.
    std::size_t left_out() const { return left_out_.size(); }
    bool has_room_again() const { return !left_out_.empty() && held_.size() < size_; }

private:
    std::size_t size_;
    std::unordered_map<fdb_key, Held, FdbKeyHash, FdbKeyEqual> held_;
    std::set<FdbKey> left_out_;
    std::set<FdbKey> failed_;
};

struct FdbEntries {
    using Write = WriteFdb;
    using Erase = EraseFdb;
    struct Held {
        std::uint32_t slot = 0;
        std::uint8_t flags = 0;
        bool operator==(const Held&) const = default;
    };
    static WriteFdb write(const fdb_key& key, const Held& held);
};

struct VtepEntries {
    using Write = WriteVtep;
    using Erase = EraseVtep;
    struct Held {
        std::array<std::uint32_t, 4> address{};  // in network order, as in the map
        bool fixed = false;
        bool operator==(const Held&) const = default;
    };
    static WriteVtep write(const fdb_key& key, const Held& held);
};

class Reconciler {
public:
    explicit Reconciler(std::size_t fdb_size);

    // What an earlier daemon left in the maps. Slots keep their devices.
    void adopt(const std::vector<std::pair<std::uint32_t, device>>& devices,
               const std::vector<std::pair<fdb_key, fdb_entry>>& fdb,
               const std::vector<std::pair<std::uint32_t, std::uint32_t>>& targets,
               const std::vector<std::pair<vlan_upper_key, std::uint32_t>>& uppers = {},
               const std::vector<std::pair<tunnel_key, std::uint32_t>>& tunnels = {},
               const std::vector<std::pair<fdb_key, vtep>>& vteps = {});

    // All devices of the plan: ports, what VLAN devices among them sit on, and bridges that route. Ports without a free
    // slot, or whose place in the index is taken by another, are left to the kernel and told in `plan`.
    Operations reconcile_devices(Plan& plan);
    // The kernel has changed the entry: what the map has is not believed, even if it changed back meanwhile (the
    // program may have distrusted it).
    void remove_changed(const FdbKey& key, Operations& operations);
    void remove_changed_vtep(const FdbKey& key, Operations& operations);
    // One entry as it is to be; then all that the maps or the host have, of both.
    void reconcile_fdb(const Host& host, const Plan& plan, const FdbKey& key, Operations& operations);
    void reconcile_vtep(const Host& host, const Plan& plan, const FdbKey& key, Operations& operations);
    Operations reconcile_all_fdb(const Host& host, const Plan& plan);
    // After the writer: an operation that failed may have happened or not, and is to be done again.
    void failed(const Operation& operation);
    // Since the last call: entries to be judged again because their operations failed, and whether devices are.
    std::set<FdbKey> take_failed_fdb() { return fdb_.take_failed(); }
    std::set<FdbKey> take_failed_vteps() { return vteps_.take_failed(); }
    bool take_failed_devices();
    // The program distrusts the entry: write it anew.
    void rewrite(const fdb_key& key, Operations& operations) { fdb_.rewrite(key, operations); }
    void rewrite_vtep(const fdb_key& key, Operations& operations) { vteps_.rewrite(key, operations); }

    std::optional<std::uint32_t> slot_of(Ifindex device) const;
    std::size_t fdb_entries() const { return fdb_.size(); }
    std::size_t vtep_entries() const { return vteps_.size(); }
    std::size_t device_count() const { return devices_.size(); }

    // True if FDB entries have to be judged again: slots changed hands, what entries depend on changed, or a full map
    // has room again.
    bool take_fdb_stale();
    // Entries that did not fit into the map when they were last judged.
    std::size_t fdb_left_out() const { return fdb_.left_out(); }
    std::size_t vteps_left_out() const { return vteps_.left_out(); }

private:
    struct Slot {
        std::uint32_t slot = 0;
        device record{};
        std::optional<MacAddr> peer;
        std::shared_ptr<const port_vlans> vlans;  // null: the map may hold anything
    };
    struct UpperLess {
        bool operator()(const vlan_upper_key& a, const vlan_upper_key& b) const noexcept {
            return std::tie(a.ifindex, a.protocol, a.vid) < std::tie(b.ifindex, b.protocol, b.vid);
        }
    };
    using Uppers = std::map<vlan_upper_key, std::uint32_t, UpperLess>;
    struct TunnelLess {
        bool operator()(const tunnel_key& a, const tunnel_key& b) const noexcept {
            return std::tie(a.vni, a.port, a.family) < std::tie(b.vni, b.port, b.family);
        }
    };
    using Tunnels = std::map<tunnel_key, std::uint32_t, TunnelLess>;
    // What a device's slot is to hold, and the ports that depend on it.
    struct Wanted {
        device record{};
        std::optional<MacAddr> peer;
        std::uint32_t target = 0;  // ifindex; 0: none
        const port_vlans* vlans = nullptr;
        std::vector<PortPlan*> ports;
    };

    static std::map<Ifindex, Wanted> wanted_devices(Plan& plan);
    std::optional<std::uint32_t> take_slot();
    // The device's slot, a new one if it has none; null, with the reason told to its ports, if there is none for it.
    Slot* slot_for(Ifindex device, const Wanted& wanted);
    void give_back(const std::map<Ifindex, Wanted>& wanted, Operations& operations);
    void write_slot(Slot& slot, const Wanted& wanted, Operations& operations);
    void reconcile_uppers(const Plan& plan, Operations& operations);
    void reconcile_tunnels(const Plan& plan, Operations& operations);
    void clear_leftovers(Operations& operations);
    std::optional<FdbEntries::Held> wanted(const Host& host, const Plan& plan, const FdbKey& key) const;

    std::map<Ifindex, Slot> devices_;
    std::map<std::uint32_t, std::uint32_t> targets_;    // slot -> ifindex; 0: the map may hold anything
    Uppers uppers_;                                     // 0: the map may hold anything
    Tunnels tunnels_;                                   // likewise
    std::map<std::uint32_t, std::uint32_t> uncleared_;  // slot -> ifindex of a record that nobody wants
    Entries<FdbEntries> fdb_;
    Entries<VtepEntries> vteps_;
    std::map<std::uint32_t, Ifindex> places_;  // of the index map
    std::deque<std::uint32_t> free_;
    bool failed_devices_ = false;
    bool fdb_stale_ = true;
};

}  // namespace underpass
