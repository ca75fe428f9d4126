// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "loader/object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <limits>
#include <map>

#include "bpf/tc_ingress.skel.h"
#include "bpf/tc_ingress_conntrack.skel.h"
#include "bpf/xdp_ingress.skel.h"
#include "bpf/xdp_ingress_conntrack.skel.h"
#include "loader/error.h"
#include "loader/log.h"

namespace underpass {

namespace {

BpfObject open_elf(const void* bytes, std::size_t size, const char* name) {
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name);
    bpf_object* object = bpf_object__open_mem(bytes, size, &options);
    if (object == nullptr) throw_errno(errno, std::string("open the BPF object ") + name);
    return BpfObject(object);
}

bool same_shape(int fd, const bpf_map* wanted) {
    bpf_map_info info = {};
    std::uint32_t size = sizeof(info);
    return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == bpf_map__type(wanted) &&
           info.key_size == bpf_map__key_size(wanted) && info.value_size == bpf_map__value_size(wanted) &&
           info.max_entries == bpf_map__max_entries(wanted);
}

// Those that the programs share and that outlive them; their own constants are none of them.
std::vector<bpf_map*> shared_maps(const bpf_object* object) {
    std::vector<bpf_map*> maps;
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        if (!bpf_map__is_internal(map)) maps.push_back(map);
    }
    return maps;
}

// The pinned maps by name if all that `object` needs are there, of its shape and of our ABI; else none.
std::map<std::string, Fd> adoptable(const PinDirectory& pins, const bpf_object* object) {
    std::map<std::string, Fd> found;
    for (const bpf_map* map : shared_maps(object)) {
        auto fd = pins.open(bpf_map__name(map));
        if (!fd || !same_shape(fd->get(), map)) return {};
        found.emplace(bpf_map__name(map), std::move(*fd));
    }
    control record = {};
    const std::uint32_t zero = 0;
    if (bpf_map_lookup_elem(found.at(MAP_CONTROL).get(), &zero, &record) != 0 || record.abi != UNDERPASS_ABI) return {};
    return found;
}

int map_fd(const bpf_object* object, const char* name) {
    return bpf_object__find_map_fd_by_name(object, name);
}

Fd duplicate(int fd) {
    Fd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!copy) throw_errno(errno, "duplicate a map's descriptor");
    return copy;
}

[[noreturn]] void throw_load_error(int result, const char* program, const QuietLibraries& libraries) {
    const std::string what = std::string("load the program ") + program;
    if (result == -EPERM) throw_errno(result, what + " (run as root, with CAP_BPF and CAP_NET_ADMIN)");
    if (libraries.text().empty()) throw_errno(result, what);
    throw VerifierError(what + ": " + std::system_category().message(-result), libraries.text());
}

}  // namespace

void BpfObjectDeleter::operator()(bpf_object* object) const noexcept {
    bpf_object__close(object);
}

Heartbeat::Heartbeat(int map_fd) {
    void* memory = mmap(nullptr, sizeof(control), PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
    if (memory == MAP_FAILED) throw_errno(errno, "map the heartbeat into memory");
    control_ = static_cast<control*>(memory);
}

Heartbeat::~Heartbeat() {
    if (control_ != nullptr) munmap(control_, sizeof(control));
}

std::uint64_t Heartbeat::now_ns() {
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000000000ULL + static_cast<std::uint64_t>(now.tv_nsec);
}

void Heartbeat::beat(std::uint64_t as_of_ns) {
    __atomic_store_n(&control_->abi, std::uint32_t{UNDERPASS_ABI}, __ATOMIC_RELAXED);
    __atomic_store_n(&control_->beat_ns, as_of_ns, __ATOMIC_RELEASE);
}

void Heartbeat::tell_change() {
    __atomic_store_n(&control_->changed_ns, now_ns(), __ATOMIC_RELAXED);
    __atomic_add_fetch(&control_->generation, 1, __ATOMIC_RELEASE);
}

void Heartbeat::tell_fdb_change() {
    __atomic_add_fetch(&control_->fdb_generation, 1, __ATOMIC_SEQ_CST);
}

std::uint32_t Heartbeat::fdb_generation() const {
    return __atomic_load_n(&control_->fdb_generation, __ATOMIC_ACQUIRE);
}

bool Heartbeat::set_tracked(std::uint32_t flags) {
    return __atomic_exchange_n(&control_->flags, flags, __ATOMIC_RELEASE) != flags;
}

void Heartbeat::distrust() {
    __atomic_store_n(&control_->beat_ns, std::uint64_t{0}, __ATOMIC_RELEASE);
}

std::uint64_t Heartbeat::age_ns() const {
    const std::uint64_t beat = __atomic_load_n(&control_->beat_ns, __ATOMIC_ACQUIRE);
    if (beat == 0) return std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t now = now_ns();
    return now > beat ? now - beat : 0;
}

Requests::Requests(int map_fd) : taken_(std::make_unique<std::vector<flow_request>>()) {
    const auto take = [](void* taken, void* data, std::size_t size) {
        flow_request request;
        if (size != sizeof(request)) return 0;
        std::memcpy(&request, data, sizeof(request));
        static_cast<std::vector<flow_request>*>(taken)->push_back(request);
        return 0;
    };
    buffer_.reset(ring_buffer__new(map_fd, take, taken_.get(), nullptr));
    if (!buffer_) throw_errno(errno, "listen to the programs' requests");
}

void Requests::Close::operator()(ring_buffer* buffer) const noexcept {
    ring_buffer__free(buffer);
}

int Requests::fd() const {
    return ring_buffer__epoll_fd(buffer_.get());
}

std::vector<flow_request> Requests::take() {
    taken_->clear();
    ring_buffer__consume(buffer_.get());
    return std::exchange(*taken_, {});
}

Programs::Programs(BpfObject tc, bool adopted, std::string why_no_connections)
    : device_index(duplicate(map_fd(tc.get(), MAP_DEVICE_INDEX))),
      devices(duplicate(map_fd(tc.get(), MAP_DEVICES))),
      fdb(duplicate(map_fd(tc.get(), MAP_FDB))),
      tx_ports(duplicate(map_fd(tc.get(), MAP_TX_PORTS))),
      counters(duplicate(map_fd(tc.get(), MAP_COUNTERS))),
      port_vlans(duplicate(map_fd(tc.get(), MAP_PORT_VLANS))),
      vlan_uppers(duplicate(map_fd(tc.get(), MAP_VLAN_UPPERS))),
      vlan_counters(duplicate(map_fd(tc.get(), MAP_VLAN_COUNTERS))),
      flows(duplicate(map_fd(tc.get(), MAP_FLOWS))),
      tunnels(duplicate(map_fd(tc.get(), MAP_TUNNELS))),
      vteps(duplicate(map_fd(tc.get(), MAP_VTEPS))),
      requests(map_fd(tc.get(), MAP_REQUESTS)),
      fdb_size(bpf_map__max_entries(bpf_object__find_map_by_name(tc.get(), MAP_FDB))),
      flows_size(bpf_map__max_entries(bpf_object__find_map_by_name(tc.get(), MAP_FLOWS))),
      heartbeat(map_fd(tc.get(), MAP_CONTROL)),
      tc_(std::move(tc)),
      adopted_(adopted),
      why_no_connections_(std::move(why_no_connections)) {}

namespace {

// So many that those of all CPUs take no more than this.
std::uint32_t memo_sets() {
    constexpr std::size_t kMemory = std::size_t{32} << 20;
    const std::size_t most = kMemory / sizeof(memo_set) / possible_cpus();
    return static_cast<std::uint32_t>(std::clamp<std::size_t>(std::bit_floor(most), 1, MEMO_SETS_MOST));
}

// On the pinned maps if they fit. Empty, and `result` says why, if the kernel does not take it.
BpfObject load_tc(const PinDirectory& pins, const Programs::Sizes& sizes, bool with_conntrack, bool& adopted,
                  int& result) {
    std::size_t size = 0;
    const void* bytes = with_conntrack ? tc_ingress_conntrack__elf_bytes(&size) : tc_ingress__elf_bytes(&size);
    BpfObject tc = open_elf(bytes, size, "underpass_tc");
    for (const auto& [map, entries] :
         {std::pair(MAP_FDB, sizes.fdb), std::pair(MAP_VTEPS, sizes.fdb), std::pair(MAP_FLOWS, sizes.flows),
          std::pair(MAP_MEMOS, memo_sets() * static_cast<std::uint32_t>(possible_cpus()))})
        if (const int code = bpf_map__set_max_entries(bpf_object__find_map_by_name(tc.get(), map), entries); code != 0)
            throw_errno(code, std::string("set the size of the map ") + map);
    const auto maps = adoptable(pins, tc.get());
    for (const auto& [name, fd] : maps) {
        const int code = bpf_map__reuse_fd(bpf_object__find_map_by_name(tc.get(), name.c_str()), fd.get());
        if (code != 0) throw_errno(code, "adopt the pinned map " + name);
    }
    adopted = !maps.empty();
    result = bpf_object__load(tc.get());
    return result == 0 ? std::move(tc) : BpfObject();
}

}  // namespace

// A kernel without its types, or without nf_conntrack, takes only the programs that do not need them.
Programs Programs::load(const PinDirectory& pins, const Sizes& sizes) {
    const QuietLibraries quiet;
    bool adopted = false;
    int result = 0;
    BpfObject tc = load_tc(pins, sizes, true, adopted, result);
    const std::string why_no_connections = tc ? "" : std::system_category().message(-result);
    if (!tc) tc = load_tc(pins, sizes, false, adopted, result);
    if (!tc) throw_load_error(result, PROGRAM_TC, quiet);
    if (!adopted) {
        const control record = {.beat_ns = 0,
                                .abi = UNDERPASS_ABI,
                                .generation = 0,
                                .changed_ns = 0,
                                .flags = 0,
                                .fdb_generation = 1,
                                .memo_sets = memo_sets(),
                                .reserved = 0};
        const std::uint32_t zero = 0;
        if (const int code = bpf_map_update_elem(map_fd(tc.get(), MAP_CONTROL), &zero, &record, BPF_ANY); code != 0)
            throw_errno(code, "write the map " MAP_CONTROL);
    }
    return Programs(std::move(tc), adopted, why_no_connections);
}

void Programs::pin(const PinDirectory& pins) const {
    for (const bpf_map* map : shared_maps(tc_.get())) pins.pin(bpf_map__fd(map), bpf_map__name(map));
}

int Programs::tc_fd() const {
    return bpf_program__fd(bpf_object__find_program_by_name(tc_.get(), PROGRAM_TC));
}

int Programs::witness_fd() const {
    return bpf_program__fd(bpf_object__find_program_by_name(tc_.get(), PROGRAM_WITNESS));
}

BpfObject Programs::open_xdp() const {
    std::size_t size = 0;
    const void* bytes =
        xdp_finds_connections_ ? xdp_ingress_conntrack__elf_bytes(&size) : xdp_ingress__elf_bytes(&size);
    BpfObject xdp = open_elf(bytes, size, "underpass_xdp");
    for (bpf_map* map : shared_maps(xdp.get())) {
        if (const int result = bpf_map__reuse_fd(map, map_fd(tc_.get(), bpf_map__name(map))); result != 0)
            throw_errno(result, std::string("share the map ") + bpf_map__name(map));
    }
    return xdp;
}

std::vector<std::uint32_t> program_ids(const std::string& name) {
    std::vector<std::uint32_t> ids;
    for (std::uint32_t id = 0; bpf_prog_get_next_id(id, &id) == 0;) {
        const Fd program(bpf_prog_get_fd_by_id(id));
        bpf_prog_info info = {};
        std::uint32_t size = sizeof(info);
        // One that went away in between is not ours any more either.
        if (program && bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0 && name == info.name) ids.push_back(id);
    }
    return ids;
}

std::size_t possible_cpus() {
    const int count = libbpf_num_possible_cpus();
    if (count < 0) throw_errno(count, "count the possible CPUs");
    return static_cast<std::size_t>(count);
}

}  // namespace underpass
