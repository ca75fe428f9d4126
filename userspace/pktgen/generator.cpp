// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "pktgen/generator.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>
#include <utility>

extern char** environ;

namespace underpass::pktgen {

namespace {

constexpr const char* kName = "/proc/net/pktgen/";
// That folder for a thread in a network namespace of its own, too.
constexpr const char* kFolder = "/proc/thread-self/net/pktgen/";
constexpr int kNotSupported = 524;  // ENOTSUPP, which has no name outside the kernel

std::string read(const std::string& file) {
    std::ifstream stream(kFolder + file);
    return {std::istreambuf_iterator<char>(stream), {}};
}

// The kernel's errno; 0: done. Each write is one command.
int tell(const std::string& file, const std::string& command) {
    const int fd = ::open((kFolder + file).c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    const std::string line = command + "\n";
    const int code = ::write(fd, line.data(), line.size()) < 0 ? errno : 0;
    ::close(fd);
    return code;
}

bool modprobe(const std::vector<std::string>& words) {
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_t child = 0;
    int status = 0;
    if (::posix_spawnp(&child, "modprobe", nullptr, nullptr, arguments.data(), environ) != 0) return false;
    return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string thread_file(unsigned cpu) {
    return fmt::format("kpktgend_{}", cpu);
}

std::string device_file(const Task& task) {
    return fmt::format("{}@{}", task.device, task.cpu);
}

void require_idle() {
    for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
        const std::string name = entry.path().filename();
        if (!name.starts_with("kpktgend_")) continue;
        const auto devices = parse_devices(read(name));
        if (!devices.empty())
            throw std::runtime_error(fmt::format(
                "pktgen is configured by somebody else, for {}; if it is not wanted any more: `echo reset > "
                "{}pgctrl`",
                devices.front(), kName));
    }
}

[[noreturn]] void refuse(const Task& task, const std::string& command, int code) {
    if (code == kNotSupported)
        throw std::runtime_error(
            fmt::format("{} does not take `{}`: its driver keeps, or changes, the buffers that it is handed (a veth "
                        "and a bridge do)",
                        task.device, command));
    throw std::runtime_error(
        fmt::format("pktgen does not take `{}` for {}: {}", command, task.device, std::strerror(code)));
}

}  // namespace

Module::Module() {
    if (std::filesystem::exists(kFolder)) return;
    loaded_ = modprobe({"modprobe", "-q", "pktgen"});
    if (!std::filesystem::exists(kFolder))
        throw std::runtime_error(
            "this kernel has no pktgen (CONFIG_NET_PKTGEN); Debian's and most distributions' have it as a module");
}

Module::~Module() {
    if (loaded_) modprobe({"modprobe", "-q", "-r", "pktgen"});
}

Generator::Generator(std::vector<Task> tasks, const Traffic& traffic) : tasks_(std::move(tasks)) {
    try {
        require_idle();
        for (std::size_t i = 0; i < tasks_.size(); i++) {
            const Task& task = tasks_[i];
            if (if_nametoindex(task.device.c_str()) == 0)
                throw std::runtime_error(fmt::format("there is no device {} (`ip link` shows all)", task.device));
            if (!std::filesystem::exists(kFolder + thread_file(task.cpu)))
                throw std::runtime_error(fmt::format("pktgen has no thread for CPU {}", task.cpu));
            if (const int code = tell(thread_file(task.cpu), "add_device " + device_file(task)); code != 0)
                throw std::runtime_error(fmt::format("pktgen does not take {}: {} (is it up, and an Ethernet device?)",
                                                     task.device, std::strerror(code)));
            taken_.push_back(task.cpu);
            const auto commands =
                device_commands(traffic, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(tasks_.size()));
            for (const std::string& command : commands)
                if (const int code = tell(device_file(task), command); code != 0) refuse(task, command, code);
        }
    } catch (...) {
        put_back();
        throw;
    }
}

Generator::~Generator() {
    put_back();
}

void Generator::put_back() noexcept {
    for (const unsigned cpu : taken_) tell(thread_file(cpu), "rem_device_all");
    taken_.clear();
}

// The write of `start` returns at the end. A `stop` from before a thread has taken that up is lost, so it is repeated;
// and the thread is waited for whatever happens, since pktgen cannot be put back before.
void Generator::run(std::chrono::milliseconds time, const std::function<bool(std::uint64_t)>& go_on) {
    std::atomic<bool> ended = false;
    std::atomic<int> code = 0;
    std::thread starter([&] {
        code = tell("pgctrl", "start");
        ended = true;
    });
    const auto begin = std::chrono::steady_clock::now();
    bool over = false;
    std::exception_ptr failure;
    while (!ended) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        try {
            std::uint64_t sent = 0;
            for (const Task& task : tasks_) sent += parse_progress(read(device_file(task)));
            over = over || (time.count() > 0 && std::chrono::steady_clock::now() - begin >= time) || !go_on(sent);
        } catch (...) {
            failure = std::current_exception();
            over = true;
        }
        if (over) tell("pgctrl", "stop");
    }
    starter.join();
    if (failure) std::rethrow_exception(failure);
    if (code != 0 && code != EINTR)
        throw std::runtime_error(fmt::format("pktgen does not start: {}", std::strerror(code)));
}

std::vector<Result> Generator::results() const {
    std::vector<Result> results;
    for (const Task& task : tasks_) {
        const std::string text = read(device_file(task));
        const auto result = parse_result(text);
        results.push_back(result ? *result : Result{.packets = parse_progress(text)});
    }
    return results;
}

}  // namespace underpass::pktgen
