// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sync/writer.h"

namespace underpass {

Operations Writer::apply(const Operations& operations) {
    Operations failed;
    for (const Operation& operation : operations) {
        const std::error_code code = std::visit([this](const auto& kind) { return apply(kind); }, operation);
        if (!code) {
            written_++;
            continue;
        }
        failures_++;
        last_failure_ = code.message();
        failed.push_back(operation);
    }
    return failed;
}

std::error_code Writer::apply(const EraseFdb& operation) {
    return forgotten(programs_.fdb.erase(operation.key));
}

std::error_code Writer::apply(const WriteFdb& operation) {
    return forgotten(programs_.fdb.update(operation.key, operation.entry));
}

// After the FDB, or a VXLAN device's, was changed: what the programs remembered of it ends.
std::error_code Writer::forgotten(std::error_code code) {
    programs_.heartbeat.tell_fdb_change();
    return code;
}

// The slot's counters by VLAN, unless the device stays a port of a VLAN-aware bridge.
std::error_code Writer::forget_vlans(std::uint32_t slot, std::uint32_t flags) {
    const auto before = programs_.devices.lookup(slot);
    if (!before || (before->flags & ~flags & DEVICE_VLAN_AWARE) == 0) return {};
    for (const auto& [key, counters] : programs_.vlan_counters.entries(possible_cpus()))
        if (key.slot == slot)
            if (const auto code = programs_.vlan_counters.erase(key)) return code;
    return {};
}

std::error_code Writer::apply(const WriteDevice& operation) {
    if (const auto code = forget_vlans(operation.slot, operation.record.flags)) return code;
    if (const auto code = programs_.devices.update(operation.slot, operation.record)) return code;
    return programs_.device_index.update(operation.record.ifindex % DEVICE_INDEX_SIZE, operation.slot);
}

std::error_code Writer::apply(const ClearDevice& operation) {
    const std::uint32_t place = operation.ifindex % DEVICE_INDEX_SIZE;
    if (const auto code = forget_vlans(operation.slot, 0)) return code;
    if (const auto code = programs_.devices.update(operation.slot, device{})) return code;
    if (programs_.device_index.lookup(place) == operation.slot)
        if (const auto code = programs_.device_index.update(place, 0)) return code;
    return programs_.counters.clear(operation.slot, possible_cpus());
}

std::error_code Writer::apply(const WriteTarget& operation) {
    return programs_.tx_ports.update(operation.slot, operation.ifindex);
}

std::error_code Writer::apply(const ClearTarget& operation) {
    return programs_.tx_ports.erase(operation.slot);
}

std::error_code Writer::apply(const WriteVlans& operation) {
    return programs_.port_vlans.update(operation.slot, *operation.vlans);
}

std::error_code Writer::apply(const WriteUpper& operation) {
    return programs_.vlan_uppers.update(operation.key, operation.slot);
}

std::error_code Writer::apply(const EraseUpper& operation) {
    return programs_.vlan_uppers.erase(operation.key);
}

std::error_code Writer::apply(const WriteTunnel& operation) {
    return programs_.tunnels.update(operation.key, operation.slot);
}

std::error_code Writer::apply(const EraseTunnel& operation) {
    return programs_.tunnels.erase(operation.key);
}

std::error_code Writer::apply(const WriteVtep& operation) {
    return forgotten(programs_.vteps.update(operation.key, operation.entry));
}

std::error_code Writer::apply(const EraseVtep& operation) {
    return forgotten(programs_.vteps.erase(operation.key));
}

}  // namespace underpass
