// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/run_statistics.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>

#include "loader/error.h"
#include "loader/object.h"

namespace underpass::bench {

namespace {

bpf_prog_info info_of(int program, std::vector<std::uint32_t>* maps = nullptr) {
    bpf_prog_info info = {};
    std::uint32_t size = sizeof(info);
    if (maps != nullptr) {
        info.nr_map_ids = static_cast<std::uint32_t>(maps->size());
        info.map_ids = reinterpret_cast<std::uint64_t>(maps->data());
    }
    if (bpf_obj_get_info_by_fd(program, &info, &size) != 0) throw_errno(errno, "ask the kernel about a program");
    return info;
}

std::vector<std::uint32_t> maps_of(int program) {
    std::vector<std::uint32_t> maps(info_of(program).nr_map_ids);
    info_of(program, &maps);
    return maps;
}

std::uint32_t map_id(int map) {
    bpf_map_info info = {};
    std::uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(map, &info, &size) != 0) throw_errno(errno, "ask the kernel about a map");
    return info.id;
}

}  // namespace

RunStatistics::RunStatistics() : on_(bpf_enable_stats(BPF_STATS_RUN_TIME)) {
    if (!on_) throw_errno(errno, "turn on the run time statistics of BPF programs");
}

double RunTime::mean_since(const RunTime& before) const {
    return runs > before.runs ? static_cast<double>(ns - before.ns) / static_cast<double>(runs - before.runs) : 0;
}

RunTime run_time_of(int program) {
    const bpf_prog_info info = info_of(program);
    return {info.run_time_ns, info.run_cnt};
}

std::vector<Fd> programs_on(const char* name, int map) {
    std::vector<Fd> programs;
    for (const std::uint32_t id : program_ids(name)) {
        Fd program(bpf_prog_get_fd_by_id(id));
        if (program && std::ranges::count(maps_of(program.get()), map_id(map)) > 0)
            programs.push_back(std::move(program));
    }
    return programs;
}

Fd xdp_program_of(std::uint32_t ifindex) {
    std::uint32_t id = 0;
    if (const int result = bpf_xdp_query_id(static_cast<int>(ifindex), 0, &id); result != 0)
        throw_errno(result, "ask which XDP program a device has");
    Fd program(bpf_prog_get_fd_by_id(id));
    if (!program) throw_errno(errno, "open the XDP program of a device");
    return program;
}

}  // namespace underpass::bench
