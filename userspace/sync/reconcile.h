// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Wanted against actual: which map operations bring the maps in step with the plan, in which order. Pure; what it
// believes to be in the maps is corrected by the writer's results and, at the start, by what the maps hold.
//
// Order: what takes trust away comes first (FDB entries, then device flags), then what gives it (devices, then FDB
// entries). A slot stands for one device in one bridge; a freed one is used again as late as possible, so that no
// entry and no running program can take the new device for the old.
#pragma once

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
using Operation = std::variant<EraseFdb, WriteFdb, WriteDevice, ClearDevice, WriteTarget, ClearTarget, WriteVlans,
                               WriteUpper, EraseUpper>;
using Operations = std::vector<Operation>;

bool is_removal(const Operation& operation);

fdb_key to_map_key(const FdbKey& key);

class Reconciler {
public:
    explicit Reconciler(std::size_t fdb_size);

    // What an earlier daemon left in the maps. Slots keep their devices.
    void adopt(const std::vector<std::pair<std::uint32_t, device>>& devices,
               const std::vector<std::pair<fdb_key, fdb_entry>>& fdb,
               const std::vector<std::pair<std::uint32_t, std::uint32_t>>& targets,
               const std::vector<std::pair<vlan_upper_key, std::uint32_t>>& uppers = {});

    // All devices of the plan: ports, what VLAN devices among them sit on, and bridges that route. Ports without a free
    // slot, or whose place in the index is taken by another, are left to the kernel and told in `plan`.
    Operations reconcile_devices(Plan& plan);
    // The kernel has changed the entry: what the map has is not believed, even if it changed back meanwhile (the
    // program may have distrusted it).
    void remove_changed(const FdbKey& key, Operations& operations);
    // One FDB entry as it is to be; then all that the maps or the host have.
    void reconcile_fdb(const Host& host, const Plan& plan, const FdbKey& key, Operations& operations);
    Operations reconcile_all_fdb(const Host& host, const Plan& plan);
    // After the writer: an operation that failed may have happened or not, and is to be done again.
    void failed(const Operation& operation);
    // Since the last call: entries to be judged again because their operations failed, and whether devices are.
    std::set<FdbKey> take_failed_fdb();
    bool take_failed_devices();
    // The program distrusts the entry: write it anew.
    void rewrite(const fdb_key& key, Operations& operations);

    std::optional<std::uint32_t> slot_of(Ifindex device) const;
    std::size_t fdb_entries() const { return fdb_.size(); }
    std::size_t device_count() const { return devices_.size(); }

    // True if FDB entries have to be judged again: slots changed hands, what entries depend on changed, or a full map
    // has room again.
    bool take_fdb_stale();
    // Entries that did not fit into the map when they were last judged.
    std::size_t fdb_left_out() const { return left_out_.size(); }

private:
    struct KeyHash {
        std::size_t operator()(const fdb_key& key) const noexcept;
    };
    struct KeyEqual {
        bool operator()(const fdb_key& a, const fdb_key& b) const noexcept;
    };
    // As it is by default, the map may hold anything, and no entry is wanted like that.
    struct Held {
        std::uint32_t slot = 0;
        std::uint8_t flags = 0;
        bool operator==(const Held&) const = default;
    };
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
    void clear_leftovers(Operations& operations);
    std::optional<Held> wanted(const Host& host, const Plan& plan, const FdbKey& key) const;

    std::size_t fdb_size_;
    std::map<Ifindex, Slot> devices_;
    std::map<std::uint32_t, std::uint32_t> targets_;    // slot -> ifindex; 0: the map may hold anything
    Uppers uppers_;                                     // 0: the map may hold anything
    std::map<std::uint32_t, std::uint32_t> uncleared_;  // slot -> ifindex of a record that nobody wants
    std::unordered_map<fdb_key, Held, KeyHash, KeyEqual> fdb_;
    std::map<std::uint32_t, Ifindex> places_;  // of the index map
    std::deque<std::uint32_t> free_;
    std::set<FdbKey> left_out_;
    std::set<FdbKey> failed_fdb_;
    bool failed_devices_ = false;
    bool fdb_stale_ = true;
};

}  // namespace underpass
