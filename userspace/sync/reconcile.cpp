// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/reconcile.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>

namespace underpass {

namespace {

std::uint32_t place_of(Ifindex device) {
    return number(device) % DEVICE_INDEX_SIZE;
}

template <class Record>
bool same(const Record& a, const Record& b) {
    return std::memcmp(&a, &b, sizeof(a)) == 0;
}

// The device, its bridge, the device it sends by, and that the map may hold anything of the rest: no record is wanted
// without flags.
device unsure(const device& record) {
    device result{};
    result.ifindex = record.ifindex;
    result.bridge = record.bridge;
    result.out = record.out;
    return result;
}

FdbKey from_map_key(const fdb_key& key) {
    FdbKey result{Ifindex{key.bridge}, Vid{key.vid}, {}};
    std::copy(std::begin(key.mac), std::end(key.mac), result.mac.bytes.begin());
    return result;
}

VtepEntries::Held held(const vtep& entry) {
    VtepEntries::Held held;
    std::copy(std::begin(entry.address), std::end(entry.address), held.address.begin());
    held.fixed = entry.fixed != 0;
    return held;
}

VtepEntries::Held held(const VtepRecord& record) {
    VtepEntries::Held held;
    std::memcpy(held.address.data(), record.address.storage.data(), record.address.storage.size());
    held.fixed = record.fixed;
    return held;
}

// Keys that lead to a slot: of a VLAN device, or a VXLAN device.
template <class Write, class Erase, class Slots>
void reconcile_slots(const Slots& wanted, Slots& held, Operations& operations) {
    for (auto next = held.begin(); next != held.end();) {
        if (wanted.contains(next->first)) {
            ++next;
            continue;
        }
        operations.push_back(Erase{next->first});
        next = held.erase(next);
    }
    for (const auto& [key, slot] : wanted)
        if (std::exchange(held[key], slot) != slot) operations.push_back(Write{key, slot});
}

}  // namespace

bool is_removal(const Operation& operation) {
    return std::holds_alternative<EraseFdb>(operation) || std::holds_alternative<ClearDevice>(operation) ||
           std::holds_alternative<ClearTarget>(operation) || std::holds_alternative<EraseUpper>(operation) ||
           std::holds_alternative<EraseTunnel>(operation) || std::holds_alternative<EraseVtep>(operation);
}

fdb_key to_map_key(const FdbKey& key) {
    fdb_key result{number(key.bridge), number(key.vid), {}};
    std::copy(key.mac.bytes.begin(), key.mac.bytes.end(), std::begin(result.mac));
    return result;
}

std::size_t FdbKeyHash::operator()(const fdb_key& key) const noexcept {
    return std::hash<std::string_view>{}(std::string_view(reinterpret_cast<const char*>(&key), sizeof(key)));
}

bool FdbKeyEqual::operator()(const fdb_key& a, const fdb_key& b) const noexcept {
    return std::memcmp(&a, &b, sizeof(a)) == 0;
}

template <class Entry>
void Entries<Entry>::remove(const FdbKey& key, Operations& operations) {
    left_out_.erase(key);
    const auto held = held_.find(to_map_key(key));
    if (held == held_.end()) return;
    operations.push_back(typename Entry::Erase{held->first});
    held_.erase(held);
}

template <class Entry>
void Entries<Entry>::reconcile(const FdbKey& key, const std::optional<Held>& wanted, Operations& operations) {
    const fdb_key map_key = to_map_key(key);
    const auto held = held_.find(map_key);
    if (held != held_.end() && wanted == held->second) return;
    remove(key, operations);
    if (!wanted) return;
    // A full map is no failure: the entry's frames go the kernel's way as "unknown".
    if (held_.size() >= size_) {
        left_out_.insert(key);
        return;
    }
    held_[map_key] = *wanted;
    operations.push_back(Entry::write(map_key, *wanted));
}

template <class Entry>
void Entries<Entry>::rewrite(const fdb_key& key, Operations& operations) {
    const auto held = held_.find(key);
    if (held == held_.end()) return;
    operations.push_back(typename Entry::Erase{key});
    operations.push_back(Entry::write(key, held->second));
}

template <class Entry>
template <class Record>
std::vector<FdbKey> Entries<Entry>::gone(const std::map<FdbKey, Record>& records) const {
    std::vector<FdbKey> gone;
    for (const auto& [map_key, held] : held_) {
        const FdbKey key = from_map_key(map_key);
        if (!records.contains(key)) gone.push_back(key);
    }
    return gone;
}

// What is not known to be gone is kept as unsure: the next reconcile writes or removes it, whatever it is.
template <class Entry>
void Entries<Entry>::failed(const typename Entry::Write& write) {
    failed_.insert(from_map_key(write.key));
    const auto held = held_.find(write.key);
    if (held != held_.end() && held->second != Held{}) held_.erase(held);
}

template <class Entry>
void Entries<Entry>::failed(const typename Entry::Erase& erase) {
    failed_.insert(from_map_key(erase.key));
    held_[erase.key] = {};
}

template class Entries<FdbEntries>;
template class Entries<VtepEntries>;

WriteFdb FdbEntries::write(const fdb_key& key, const Held& held) {
    return {key, fdb_entry{held.slot, held.flags, 0, {}, 0}};
}

WriteVtep VtepEntries::write(const fdb_key& key, const Held& held) {
    vtep entry{};
    std::copy(held.address.begin(), held.address.end(), std::begin(entry.address));
    entry.fixed = held.fixed ? 1 : 0;
    return {key, entry};
}

Reconciler::Reconciler(std::size_t fdb_size) : fdb_(fdb_size), vteps_(fdb_size) {
    for (std::uint32_t slot = 1; slot < DEVICE_SLOTS; slot++) free_.push_back(slot);
}

void Reconciler::adopt(const std::vector<std::pair<std::uint32_t, device>>& devices,
                       const std::vector<std::pair<fdb_key, fdb_entry>>& fdb,
                       const std::vector<std::pair<std::uint32_t, std::uint32_t>>& targets,
                       const std::vector<std::pair<vlan_upper_key, std::uint32_t>>& uppers,
                       const std::vector<std::pair<tunnel_key, std::uint32_t>>& tunnels,
                       const std::vector<std::pair<fdb_key, vtep>>& vteps) {
    for (const auto& [slot, record] : devices) {
        if (slot == 0 || record.flags == 0) continue;
        std::erase(free_, slot);
        const Ifindex index{record.ifindex};
        if (places_.emplace(place_of(index), index).second)
            devices_[index] = {slot, unsure(record), std::nullopt, nullptr};
        else
            uncleared_[slot] = record.ifindex;  // one that could not be cleared before the device had another slot
    }
    for (const auto& [key, entry] : fdb) fdb_.adopt(key, {entry.slot, entry.flags});
    for (const auto& [key, entry] : vteps) vteps_.adopt(key, held(entry));
    for (const auto& [slot, ifindex] : targets)
        if (ifindex != 0) targets_[slot] = ifindex;
    for (const auto& [key, slot] : uppers) uppers_[key] = slot;
    for (const auto& [key, slot] : tunnels) tunnels_[key] = slot;
    fdb_stale_ = true;
}

std::optional<std::uint32_t> Reconciler::take_slot() {
    if (free_.empty()) return std::nullopt;
    const std::uint32_t slot = free_.front();
    free_.pop_front();
    return slot;
}

std::optional<std::uint32_t> Reconciler::slot_of(Ifindex device) const {
    const auto found = devices_.find(device);
    return found == devices_.end() ? std::nullopt : std::optional(found->second.slot);
}

// Records and targets of slots that stand for no device: what failed, or what an earlier daemon did not finish.
void Reconciler::clear_leftovers(Operations& operations) {
    for (const auto& [slot, ifindex] : uncleared_) {
        operations.push_back(ClearDevice{slot, ifindex});
        free_.push_back(slot);
    }
    uncleared_.clear();
    std::set<std::uint32_t> held;
    for (const auto& [index, slot] : devices_) held.insert(slot.slot);
    for (auto target = targets_.begin(); target != targets_.end();) {
        if (held.contains(target->first)) {
            ++target;
            continue;
        }
        operations.push_back(ClearTarget{target->first});
        target = targets_.erase(target);
    }
}

std::map<Ifindex, Reconciler::Wanted> Reconciler::wanted_devices(Plan& plan) {
    std::map<Ifindex, Wanted> wanted;
    for (auto& [bridge, of_bridge] : plan)
        for (PortPlan& port : of_bridge.ports)
            wanted[port.index] = {port.record,
                                  port.peer,
                                  port.xdp_target ? number(port.below) : 0,
                                  of_bridge.vlan_aware ? &port.vlans : nullptr,
                                  {&port}};
    for (const auto& [bridge, of_bridge] : plan)
        if (of_bridge.router.flags != 0) wanted[bridge].record = of_bridge.router;
    for (auto& [bridge, of_bridge] : plan)
        for (PortPlan& port : of_bridge.ports) {
            if (port.below == port.index) continue;
            Wanted& below = wanted[port.below];
            below.record.ifindex = below.record.out = number(port.below);
            below.record.flags |= DEVICE_PRESENT | DEVICE_TRUNK;
            below.ports.push_back(&port);
        }
    return wanted;
}

// What is wanted no more, or as a port of another bridge, or is to send by another device, gives its slot back: a frame
// that is on its way has read half of the record by then.
void Reconciler::give_back(const std::map<Ifindex, Wanted>& wanted, Operations& operations) {
    for (auto held = devices_.begin(); held != devices_.end();) {
        const auto device = wanted.find(held->first);
        const Slot& slot = held->second;
        if (device != wanted.end() && device->second.record.bridge == slot.record.bridge &&
            device->second.record.out == slot.record.out) {
            ++held;
            continue;
        }
        if (targets_.erase(slot.slot) != 0) operations.push_back(ClearTarget{slot.slot});
        operations.push_back(ClearDevice{slot.slot, slot.record.ifindex});
        places_.erase(place_of(held->first));
        free_.push_back(slot.slot);
        fdb_stale_ = true;
        held = devices_.erase(held);
    }
}

Reconciler::Slot* Reconciler::slot_for(Ifindex device, const Wanted& wanted) {
    const auto held = devices_.find(device);
    if (held != devices_.end()) return &held->second;
    const auto refuse = [&wanted](const std::string& why) {
        for (PortPlan* port : wanted.ports) port->refusal = why;
        return nullptr;
    };
    const auto place = places_.find(place_of(device));
    if (place != places_.end())
        return refuse("its place in the device index is taken by device " + std::to_string(number(place->second)) +
                      ": make the device anew");
    const auto slot = take_slot();
    if (!slot) return refuse("all " + std::to_string(DEVICE_SLOTS - 1) + " device slots are in use");
    places_[place_of(device)] = device;
    fdb_stale_ = true;
    return &devices_.emplace(device, Slot{*slot, {}, std::nullopt, nullptr}).first->second;
}

void Reconciler::write_slot(Slot& slot, const Wanted& wanted, Operations& operations) {
    // Which FDB entries are wanted depends on these.
    constexpr std::uint32_t kFlags = DEVICE_VLAN_AWARE | DEVICE_VXLAN | DEVICE_VTEP_LEARNS;
    if (slot.peer != wanted.peer || ((slot.record.flags ^ wanted.record.flags) & kFlags) != 0) fdb_stale_ = true;
    slot.peer = wanted.peer;
    // A target goes before the flags that let frames go there, and comes after.
    if (wanted.target == 0 && targets_.erase(slot.slot) != 0) operations.push_back(ClearTarget{slot.slot});
    if (wanted.vlans != nullptr && (!slot.vlans || !same(*slot.vlans, *wanted.vlans))) {
        slot.vlans = std::make_shared<const port_vlans>(*wanted.vlans);
        operations.push_back(WriteVlans{slot.slot, slot.vlans});
    }
    if (!same(slot.record, wanted.record)) {
        slot.record = wanted.record;
        operations.push_back(WriteDevice{slot.slot, wanted.record});
    }
    if (wanted.target != 0 && std::exchange(targets_[slot.slot], wanted.target) != wanted.target)
        operations.push_back(WriteTarget{slot.slot, wanted.target});
}

void Reconciler::reconcile_uppers(const Plan& plan, Operations& operations) {
    Uppers wanted;
    for (const auto& [bridge, of_bridge] : plan)
        for (const PortPlan& port : of_bridge.ports)
            if (const auto slot = slot_of(port.index); slot && port.below != port.index)
                wanted[{number(port.below), port.record.vlan_protocol, port.record.vid}] = *slot;
    for (const auto& [index, of_router] : plan)
        if (const auto slot = slot_of(index))
            for (const std::uint16_t vid : of_router.routed_vids)
                wanted[{of_router.router.bridge, of_router.router.vlan_protocol, vid}] = *slot;
    reconcile_slots<WriteUpper, EraseUpper>(wanted, uppers_, operations);
}

void Reconciler::reconcile_tunnels(const Plan& plan, Operations& operations) {
    Tunnels wanted;
    for (const auto& [index, of_device] : plan)
        for (const PortPlan& port : of_device.ports)
            if (const auto slot = slot_of(port.index); slot && port.tunnel) wanted[*port.tunnel] = *slot;
    reconcile_slots<WriteTunnel, EraseTunnel>(wanted, tunnels_, operations);
}

Operations Reconciler::reconcile_devices(Plan& plan) {
    Operations operations;
    clear_leftovers(operations);
    const auto wanted = wanted_devices(plan);
    give_back(wanted, operations);
    for (const auto& [index, device] : wanted)
        if (Slot* slot = slot_for(index, device)) write_slot(*slot, device, operations);
    reconcile_uppers(plan, operations);
    reconcile_tunnels(plan, operations);
    std::stable_partition(operations.begin(), operations.end(), is_removal);
    return operations;
}

std::optional<FdbEntries::Held> Reconciler::wanted(const Host& host, const Plan& plan, const FdbKey& key) const {
    const auto entry = wanted_fdb(host, plan, key);
    if (!entry) return std::nullopt;
    if (entry->flags & FDB_LOCAL) return FdbEntries::Held{0, entry->flags};
    const auto slot = slot_of(entry->port);
    return slot ? std::optional(FdbEntries::Held{*slot, entry->flags}) : std::nullopt;
}

void Reconciler::remove_changed(const FdbKey& key, Operations& operations) {
    fdb_.remove(key, operations);
}

void Reconciler::remove_changed_vtep(const FdbKey& key, Operations& operations) {
    vteps_.remove(key, operations);
}

void Reconciler::reconcile_fdb(const Host& host, const Plan& plan, const FdbKey& key, Operations& operations) {
    fdb_.reconcile(key, wanted(host, plan, key), operations);
}

void Reconciler::reconcile_vtep(const Host& host, const Plan& plan, const FdbKey& key, Operations& operations) {
    const auto record = wanted_vtep(host, plan, key);
    vteps_.reconcile(key, record ? std::optional(held(*record)) : std::nullopt, operations);
}

bool Reconciler::take_fdb_stale() {
    const bool room = fdb_.has_room_again() || vteps_.has_room_again();
    return std::exchange(fdb_stale_, false) || room;
}

Operations Reconciler::reconcile_all_fdb(const Host& host, const Plan& plan) {
    fdb_.judge_all();
    vteps_.judge_all();
    Operations operations;
    for (const FdbKey& key : fdb_.gone(host.fdb)) reconcile_fdb(host, plan, key, operations);
    for (const auto& [key, record] : host.fdb) reconcile_fdb(host, plan, key, operations);
    for (const FdbKey& key : vteps_.gone(host.vteps)) reconcile_vtep(host, plan, key, operations);
    for (const auto& [key, record] : host.vteps) reconcile_vtep(host, plan, key, operations);
    std::stable_partition(operations.begin(), operations.end(), is_removal);
    return operations;
}

void Reconciler::failed(const Operation& operation) {
    if (const auto* write = std::get_if<WriteFdb>(&operation)) return fdb_.failed(*write);
    if (const auto* erase = std::get_if<EraseFdb>(&operation)) return fdb_.failed(*erase);
    if (const auto* write = std::get_if<WriteVtep>(&operation)) return vteps_.failed(*write);
    if (const auto* erase = std::get_if<EraseVtep>(&operation)) return vteps_.failed(*erase);
    failed_devices_ = true;
    if (const auto* write = std::get_if<WriteDevice>(&operation)) {
        const auto held = devices_.find(Ifindex{write->record.ifindex});
        if (held != devices_.end()) held->second.record = unsure(write->record);
    }
    if (const auto* write = std::get_if<WriteVlans>(&operation))
        for (auto& [index, slot] : devices_)
            if (slot.slot == write->slot) slot.vlans.reset();
    if (const auto* write = std::get_if<WriteUpper>(&operation)) uppers_[write->key] = 0;
    if (const auto* erase = std::get_if<EraseUpper>(&operation)) uppers_[erase->key] = 0;
    if (const auto* write = std::get_if<WriteTunnel>(&operation)) tunnels_[write->key] = 0;
    if (const auto* erase = std::get_if<EraseTunnel>(&operation)) tunnels_[erase->key] = 0;
    if (const auto* write = std::get_if<WriteTarget>(&operation)) targets_[write->slot] = 0;
    if (const auto* clear = std::get_if<ClearTarget>(&operation)) targets_[clear->slot] = 0;
    // Nobody gets the slot before it is clear, unless the next operation has already written it anew.
    if (const auto* clear = std::get_if<ClearDevice>(&operation))
        if (std::erase(free_, clear->slot) != 0) uncleared_[clear->slot] = clear->ifindex;
}

bool Reconciler::take_failed_devices() {
    return std::exchange(failed_devices_, false);
}

}  // namespace underpass
