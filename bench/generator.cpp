// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/generator.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "bench/frame_ranges.h"
#include "bench/generator.skel.h"
#include "lab/interrupt.h"
#include "loader/error.h"
#include "pktgen/generator.h"

namespace underpass::bench {

namespace {

// Per call of the kernel where so many are wanted: short enough (some 20 ms) to stop in time.
constexpr std::uint32_t kFramesPerCall = 32768;

// CLOCK_MONOTONIC, as programs have it.
std::uint64_t now_ns() {
    const std::chrono::nanoseconds now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(now.count());
}

// Ends the call of the kernel that the calling thread is in once `is_over` says so, or the process is told to stop: by
// a signal, which does nothing else. Whoever is not in that call yet gets another one.
class Alarm {
public:
    explicit Alarm(std::function<bool()> is_over)
        : is_over_(std::move(is_over)), whom_(::pthread_self()), thread_([this] { watch(); }) {}
    ~Alarm() {
        done_ = true;
        thread_.join();
    }
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;

    // When it rang first; now, if it never did.
    std::uint64_t rang_ns() const { return rang_ns_ != 0 ? rang_ns_.load() : now_ns(); }

private:
    static constexpr int kSignal = SIGUSR1;

    void watch() {
        struct sigaction nothing = {};
        nothing.sa_handler = [](int) {};
        ::sigaction(kSignal, &nothing, nullptr);
        for (; !done_; std::this_thread::sleep_for(std::chrono::milliseconds(2))) {
            if (!is_over_() && !lab::is_interrupted()) continue;
            if (rang_ns_ == 0) rang_ns_ = now_ns();
            ::pthread_kill(whom_, kSignal);
        }
    }

    std::function<bool()> is_over_;
    pthread_t whom_;
    std::atomic<bool> done_ = false;
    std::atomic<std::uint64_t> rang_ns_ = 0;
    std::thread thread_;  // the last: it uses all of them
};

GeneratorSkeleton open_skeleton() {
    GeneratorSkeleton skeleton(bench_generator__open());
    if (!skeleton) throw_errno(errno, "open the generator's program");
    return skeleton;
}

void load(bench_generator* skeleton) {
    if (const int result = bench_generator__load(skeleton); result != 0)
        throw_errno(result, "load the generator's program");
}

}  // namespace

void SkeletonDeleter::operator()(bench_generator* skeleton) const noexcept {
    bench_generator__destroy(skeleton);
}

Generator::Generator(const GeneratorOptions& options, const std::vector<frame_template>& frames)
    : skeleton_(open_skeleton()),
      options_(options),
      body_(options.frame_bytes + (options.outer.present != 0 ? OUTER_BYTES : 0) + (options.moved ? MOVED_BYTES : 0)),
      ranges_(ranges_of(options, frames)) {
    if (frames.empty() || frames.size() > TEMPLATE_SLOTS || options.frame_bytes < TEMPLATE_WRITTEN)
        throw std::invalid_argument("the generator needs 1 to 65536 templates and frames of 60 bytes or more");
    skeleton_->rodata->egress_ifindex = options.ifindex;
    skeleton_->rodata->template_count = static_cast<std::uint32_t>(frames.size());
    skeleton_->rodata->flow_count = options.flows;
    skeleton_->rodata->first_port = options.first_port;
    skeleton_->rodata->moved = options.moved ? 1 : 0;
    std::memcpy(const_cast<outer_template*>(&skeleton_->rodata->outer), &options.outer, sizeof(options.outer));
    skeleton_->rodata->flow_port_offset =
        FLOW_PORT_OFFSET + (options.tagged ? TAG_BYTES : 0) + (options.answers ? 2 : 0);
    bpf_map__set_max_entries(skeleton_->maps.templates, static_cast<std::uint32_t>(frames.size()));
    load(skeleton_.get());
    const int map = bpf_map__fd(skeleton_->maps.templates);
    for (std::uint32_t index = 0; index < frames.size(); index++)
        if (bpf_map_update_elem(map, &index, &frames[index], BPF_ANY) != 0)
            throw_errno(errno, "write a frame template");
}

void Generator::run(std::uint32_t repeat) {
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = body_.data(),
                .data_size_in = static_cast<std::uint32_t>(body_.size()), .repeat = static_cast<int>(repeat),
                .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = std::min(repeat, options_.batch));
    const int result = bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.bench_generate), &options);
    if (result != 0 && result != -EINTR) throw_errno(result, "send live frames");
}

std::uint64_t Generator::send(std::uint32_t frames) {
    const std::uint64_t before = skeleton_->bss->frames_sent;
    skeleton_->bss->begun_ns = 0;
    for (std::uint32_t left = frames; left > 0 && !lab::is_interrupted(); left -= std::min(left, kFramesPerCall))
        run(std::min(left, kFramesPerCall));
    return skeleton_->bss->frames_sent - before;
}

// In one call of the kernel, which sleeps for some 20 ms before the first frame and behind the last: only what is
// between them counts. (At a rate most of its frames are none of ours.)
Sent Generator::send_for(const Load& load) {
    if (load.by == GeneratorKind::pktgen) return send_by_pktgen(load);
    auto& state = *skeleton_->bss;
    const std::uint64_t before = state.frames_sent;
    state.pace = load.rate > 0 ? static_cast<std::uint64_t>(std::max(1.0, 1e9 * (1 << PACE_SHIFT) / load.rate)) : 0;
    state.paced_since = now_ns();
    state.paced_due = 0;
    state.begun_ns = 0;
    const auto length_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(load.time).count());
    // Where not one frame is made it ends, too.
    constexpr std::uint64_t kPatienceNs = 10'000'000'000;
    const Alarm alarm([&state, length_ns, called_ns = now_ns()] {
        const std::uint64_t begun_ns = __atomic_load_n(&state.begun_ns, __ATOMIC_ACQUIRE);
        return now_ns() >= (begun_ns != 0 ? begun_ns : called_ns + kPatienceNs) + length_ns;
    });
    run(std::numeric_limits<std::int32_t>::max());
    state.pace = 0;
    if (state.begun_ns == 0) return {};
    return {state.frames_sent - before, static_cast<double>(alarm.rang_ns() - state.begun_ns) / 1e9};
}

// One by one: a veth takes no bursts, and at a rate each packet has its time.
Sent Generator::send_by_pktgen(const Load& load) const {
    if (!ranges_) throw std::runtime_error("pktgen cannot make such frames: --generator frames");
    pktgen::Traffic traffic = *ranges_;
    if (load.rate > 0) traffic.rate = static_cast<std::uint64_t>(std::max(1.0, load.rate));
    char device[IF_NAMESIZE] = {};
    if (::if_indextoname(options_.ifindex, device) == nullptr) throw_errno(errno, "find a device's name");
    pktgen::Generator generator({{device, static_cast<unsigned>(::sched_getcpu())}}, traffic);
    generator.run(load.time, [](std::uint64_t) { return !lab::is_interrupted(); });
    const pktgen::Result result = generator.results().front();
    return {result.packets, result.seconds};
}

std::vector<unsigned char> Generator::frame() {
    std::vector<unsigned char> bytes(body_.size());
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = body_.data(), .data_out = bytes.data(),
                .data_size_in = static_cast<std::uint32_t>(body_.size()),
                .data_size_out = static_cast<std::uint32_t>(bytes.size()), .repeat = 1);
    if (const int result = bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.bench_generate), &options);
        result != 0)
        throw_errno(result, "make a frame");
    return bytes;
}

std::uint64_t Generator::begun_ns() const {
    return skeleton_->bss->begun_ns;
}

Sink::Sink(std::uint32_t ifindex, Counts counts) : skeleton_(open_skeleton()) {
    load(skeleton_.get());
    const auto& programs = skeleton_->progs;
    const int program = bpf_program__fd(counts == Counts::marked ? programs.bench_sink_marked : programs.bench_sink);
    const auto attach = [&](std::uint32_t flags) {
        LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
        link_ = Fd(bpf_link_create(program, static_cast<int>(ifindex), BPF_XDP, &options));
        return static_cast<bool>(link_);
    };
    if (attach(XDP_FLAGS_DRV_MODE)) return;
    const int failure = errno;
    if (counts == Counts::marked && failure != EBUSY && failure != EEXIST && attach(XDP_FLAGS_SKB_MODE)) return;
    throw_errno(failure, "attach the sink to device " + std::to_string(ifindex));
}

void Sink::stamp(bool on) {
    skeleton_->bss->stamping = on ? 1 : 0;
}

// Another CPU writes them meanwhile.
std::uint64_t Sink::last_ns() const {
    return __atomic_load_n(&skeleton_->bss->last_ns, __ATOMIC_ACQUIRE);
}

std::uint64_t Sink::first_ns() const {
    return __atomic_load_n(&skeleton_->bss->first_ns, __ATOMIC_ACQUIRE);
}

void Sink::forget_first() {
    __atomic_store_n(&skeleton_->bss->first_ns, std::uint64_t{0}, __ATOMIC_RELEASE);
}

sink_count Sink::count() const {
    std::vector<sink_count> by_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    const std::uint32_t zero = 0;
    if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.sink_counts), &zero, by_cpu.data()) != 0)
        throw_errno(errno, "read the sink's count");
    sink_count sum = {};
    for (const auto& count : by_cpu) {
        sum.frames += count.frames;
        sum.bytes += count.bytes;
        sum.tagged += count.tagged;
    }
    return sum;
}

}  // namespace underpass::bench
