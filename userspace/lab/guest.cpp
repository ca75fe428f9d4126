// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/guest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "lab/guest_image.h"
#include "lab/guest_port.h"
#include "lab/interrupt.h"
#include "lab/link.h"
#include "loader/error.h"
#include "loader/fd.h"

namespace underpass::lab {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kStep{50};
constexpr milliseconds kGrace{10000};            // for an answer that costs no work: an emulated machine can be slow
constexpr int kTimedOut = 124;                   // as timeout(1) has it
constexpr std::size_t kLongestCommand = 100000;  // the kernel takes no argument over 128 KiB

constexpr const char *kConsole = ".console.log", *kSocket = ".sock", *kInitrd = ".initrd";

// Where a guest has what; absolute, since QEMU works in "/" and its command line is how it is found again.
struct Place {
    Place(const fs::path& directory, const std::string& guest)
        : name(guest),
          console(fs::weakly_canonical(directory) / (guest + kConsole)),
          socket(fs::weakly_canonical(directory) / (guest + kSocket)),
          initrd(fs::weakly_canonical(directory) / (guest + kInitrd)) {}

    std::string name;
    fs::path console, socket, initrd;
};

// A comma inside a value of QEMU's options is written twice.
std::string value(const std::string& text) {
    std::string quoted;
    for (const char c : text) quoted += c == ',' ? ",," : std::string(1, c);
    return quoted;
}

std::string socket_option(const Place& place) {
    return "socket,id=commands,path=" + value(place.socket) + ",server=on,wait=off";
}

// ---- the process

bool is_guest(const std::string& pid, const std::string& option) {
    std::ifstream file("/proc/" + pid + "/cmdline", std::ios::binary);
    for (std::string word; std::getline(file, word, '\0');)
        if (word == option) return true;
    return false;
}

// Descriptors of the processes that are this guest: one, or two while it starts. Looked for among all, since a file
// with a number would be missing or wrong just when something has gone wrong.
std::vector<Fd> processes_of(const Place& place) {
    std::vector<Fd> found;
    const std::string option = socket_option(place);
    for (const auto& entry : fs::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        pid_t pid = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), pid).ptr != name.data() + name.size()) continue;
        if (!is_guest(name, option)) continue;
        Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
        // Again: the number may have gone to another meanwhile.
        if (process && is_guest(name, option)) found.push_back(std::move(process));
    }
    return found;
}

bool has_ended(const Fd& process, milliseconds time) {
    pollfd ended = {process.get(), POLLIN, 0};
    return ::poll(&ended, 1, static_cast<int>(time.count())) == 1;
}

std::vector<std::string> console_lines(const Place& place) {
    std::ifstream file(place.console, std::ios::binary);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) {
        std::erase_if(line, [](char c) { return c < ' ' || c > '~'; });
        if (!line.empty()) lines.push_back(line);
    }
    return lines;
}

// The end of the console, on one line.
std::string last_words(const Place& place) {
    const auto lines = console_lines(place);
    if (lines.empty()) return "its console is empty";
    const auto first = lines.end() - std::min<std::ptrdiff_t>(5, std::ssize(lines));
    return fmt::format("its console ends with \"{}\"", fmt::join(first, lines.end(), " / "));
}

// ---- starting

// A process as it is by default, whatever this one does with its signals; it inherits the thread's network namespace.
pid_t spawn(const std::vector<std::string>& command, const Fd& output) {
    std::vector<char*> words;
    words.reserve(command.size() + 1);
    for (const auto& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, output.get(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, output.get(), STDERR_FILENO);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    pid_t pid = 0;
    const int error = ::posix_spawn(&pid, words[0], &files, &attributes, words.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (error != 0) throw_errno(error, "start " + command.front());
    return pid;
}

// Whether KVM is there and works: a machine within a machine may have the device, and yet no guest gets far. A kernel
// without a root ends at once, by itself. Looked at once, since where KVM hangs it takes the whole time.
bool kvm_works(const fs::path& program, const GuestKernel& kernel) {
    constexpr milliseconds kTime{10000};
    static const bool works = [&] {
        if (!Fd(::open("/dev/kvm", O_RDWR | O_CLOEXEC))) return false;
        const Fd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
        const pid_t pid =
            spawn({program, "-accel", "kvm", "-cpu", "max", "-m", fmt::format("{}M", kLeastGuestMemory), "-nodefaults",
                   "-no-user-config", "-display", "none", "-no-reboot", "-kernel", kernel.image, "-append", "panic=-1"},
                  nowhere);
        const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
        if (!process || !has_ended(process, kTime)) ::kill(pid, SIGKILL);
        int status = 0;
        while (::waitpid(pid, &status, 0) < 0)
            if (errno != EINTR) throw_errno(errno, "wait for QEMU");
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }();
    return works;
}

std::vector<std::string> command_line(const fs::path& program, const GuestKernel& kernel, const GuestOptions& options,
                                      const Place& place) {
    std::vector<std::string> words = {program, "-name", "guest=" + value(options.name), "-machine", "q35"};
    words.insert(words.end(), {"-accel", kvm_works(program, kernel) ? "kvm" : "tcg"});
    words.insert(words.end(), {"-cpu", "max", "-smp", "1", "-m", fmt::format("{}M", options.memory_mib)});
    words.insert(words.end(), {"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-daemonize"});
    words.insert(words.end(), {"-kernel", kernel.image, "-initrd", place.initrd});
    words.insert(words.end(), {"-append", "console=ttyS0 quiet panic=-1 cryptomgr.notests"});
    words.insert(words.end(), {"-chardev", "file,id=console,path=" + value(place.console)});
    words.insert(words.end(), {"-serial", "chardev:console", "-chardev", socket_option(place)});
    words.insert(words.end(), {"-serial", "chardev:commands", "-netdev"});
    words.push_back(fmt::format("tap,id=net,ifname={},script=no,downscript=no", value(options.tap)));
    // Without a boot ROM: it never boots from there.
    words.insert(words.end(), {"-device", "virtio-net-pci,netdev=net,romfile=,mac=" + options.mac.text()});
    return words;
}

// What QEMU says of the failure: not its warnings, nor the hint that may follow.
std::string complaint(const Fd& output) {
    std::string text(4096, '\0');
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(::pread(output.get(), text.data(), text.size(), 0), 0)));
    std::istringstream lines(text);
    std::string found = "QEMU does not say why";
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with("qemu") && line.find(": warning: ") == std::string::npos) found = line;
    return found;
}

// QEMU itself goes to the background, once all that it needs is open.
void run_until_daemon(const std::vector<std::string>& command, const std::string& guest) {
    const Fd output(::memfd_create("qemu", MFD_CLOEXEC));
    if (!output) throw_errno(errno, "make a file in memory");
    const pid_t pid = spawn(command, output);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) throw_errno(errno, "wait for QEMU");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw std::runtime_error(fmt::format("the guest {} does not start: {}", guest, complaint(output)));
}

void remove_files(const Place& place) {
    std::error_code ignored;
    for (const auto* file : {&place.console, &place.socket, &place.initrd}) fs::remove(*file, ignored);
}

}  // namespace

void start_guest(const GuestKernel& kernel, const GuestOptions& options, const fs::path& directory) {
    const Place place(directory, options.name);
    if (options.memory_mib < kLeastGuestMemory)
        throw std::runtime_error(
            fmt::format("the guest {} needs {} MiB of memory at least", options.name, kLeastGuestMemory));
    const fs::path program = find_qemu();
    ifindex(options.tap);  // QEMU would make one that nobody is behind
    if (!processes_of(place).empty()) throw std::runtime_error(fmt::format("the guest {} runs already", options.name));
    const std::string image = guest_image(kernel, options);
    remove_files(place);
    try {
        std::ofstream file(place.initrd, std::ios::binary);
        file << image;
        file.close();  // before QEMU would inherit it
        if (!file) throw_errno(errno, "write " + place.initrd.string());
        run_until_daemon(command_line(program, kernel, options, place), options.name);
    } catch (...) {
        remove_files(place);
        throw;
    }
    fs::remove(place.initrd);  // QEMU has it in its memory
}

void wait_for_guest(const fs::path& directory, const std::string& name, milliseconds time) {
    const Place place(directory, name);
    const auto end = steady_clock::now() + time;
    const std::vector<Fd> processes = processes_of(place);
    for (;;) {
        const bool ended = std::all_of(processes.begin(), processes.end(),
                                       [](const Fd& process) { return has_ended(process, milliseconds::zero()); });
        if (ended) throw std::runtime_error(fmt::format("the guest {} has ended: {}", name, last_words(place)));
        const auto lines = console_lines(place);
        if (std::find(lines.begin(), lines.end(), kGuestReady) != lines.end()) break;
        if (steady_clock::now() >= end)
            throw std::runtime_error(fmt::format("the guest {} is not ready after {} s: {}", name,
                                                 std::chrono::ceil<std::chrono::seconds>(time).count(),
                                                 last_words(place)));
        pause_for(kStep);
    }
    run_in_guest(directory, name, {"true"}, kGrace);
}

GuestAnswer run_in_guest(const fs::path& directory, const std::string& name, const std::vector<std::string>& command,
                         milliseconds time) {
    const std::string line = quote_words(command);
    if (line.size() > kLongestCommand) throw_errno(E2BIG, "run a command in the guest " + name);
    const Place place(directory, name);
    GuestPort port(name, place.console, place.socket, time);
    if (auto answer = port.ask(line, time)) return *answer;
    // Any request ends the command.
    const auto rest = port.ask(fmt::format("cat {} 2>/dev/null", kUnfinished), kGrace);
    if (!rest) throw std::runtime_error(fmt::format("the guest {} does not answer", name));
    return {kTimedOut, rest->output};
}

bool guest_runs(const fs::path& directory, const std::string& name) {
    return !processes_of(Place(directory, name)).empty();
}

std::set<std::string> guests_in(const fs::path& directory) {
    std::set<std::string> guests;
    for (const auto& entry : fs::directory_iterator(directory))
        for (const std::string_view suffix : {kConsole, kSocket, kInitrd})
            if (const std::string file = entry.path().filename(); file.ends_with(suffix))
                guests.insert(file.substr(0, file.size() - suffix.size()));
    return guests;
}

void stop_guest(const fs::path& directory, const std::string& name) {
    const Place place(directory, name);
    for (const Fd& process : processes_of(place)) {
        ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
        if (!has_ended(process, kGrace)) throw_errno(ETIMEDOUT, "end the guest " + name);
    }
    remove_files(place);
}

}  // namespace underpass::lab
