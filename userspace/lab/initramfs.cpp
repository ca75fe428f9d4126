// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/initramfs.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <set>
#include <stdexcept>

namespace underpass::lab {

namespace {

// It must not end: the kernel panics without its first process. What it prints goes to the console.
//
// Two loops, since a shell cannot wait for a line and for a process at once: one takes the requests from the port,
// the other takes "request NUMBER" and "done NONCE STATUS" from a pipe, both short enough to arrive whole. Only that
// one writes to the port, in parts, until the next request is there: answers never mix, and a long one whose reader has
// gone holds nobody up. A command runs in a session of its own: what it leaves in the background lives on, and what
// still runs when the next request comes is ended with all its processes.
constexpr const char* kInit = R"(#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
# Of its own, so that a command that prints without end leaves room for the next request.
mount -t tmpfs -o size=20% output /output
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
exec </dev/null >/dev/ttyS0 2>&1

give_up() {
    echo "underpass: the guest gives up: $1"
    poweroff -f
    sleep 60
}

for module in /modules/*; do
    [ ! -e "$module" ] || insmod "$module" || give_up "the kernel does not take a module"
done
sh -ex /guest/setup || give_up "its network cannot be set up"
nc -ll -p 7 -e cat >/dev/null 2>&1 &

exec 3<>/dev/ttyS1
stty raw -echo clocal -hupcl <&3
mkfifo /run/events
exec 4<>/run/events

number=0
while :; do
    IFS= read -r line <&3 || { sleep 1; continue; }
    case $line in *' '*' '*) ;; *) continue ;; esac
    [ "${line%% *}" = "${line##* }" ] || continue
    number=$((number + 1))
    echo "$line" >/run/request.$number
    echo "request $number" >&4
done &

job=
echo "@READY@"
while read -r event id status <&4; do
    case $event in
    request)
        if [ -n "$job" ]; then
            kill -KILL "$job" "-$job"
            wait "$job"
        fi 2>/dev/null
        current=$id
        IFS= read -r line </run/request.$id
        rm -f /run/request.$id @UNFINISHED@
        if [ -e /output/text ]; then
            head -c 32768 /output/text >@UNFINISHED@
            rm -f /output/text
        fi
        nonce=${line%% *} line=${line#* }
        setsid /guest/job "$nonce" "${line% *}" 3>&- 4>&- &
        job=$!
        ;;
    done)
        [ "$id" = "$nonce" ] || continue
        wait "$job"
        job=
        left=$(wc -c </output/text)
        printf '\n%s %s %s\n' "$nonce" "$status" "$left" >&3
        exec 5</output/text
        while [ "$left" -gt 0 ] && [ ! -e /run/request.$((current + 1)) ]; do
            part=$((left < 16384 ? left : 16384))
            dd bs=$part count=1 <&5 >&3 2>/dev/null
            left=$((left - part))
        done
        exec 5<&-
        [ "$left" -gt 0 ] || rm -f /output/text
        ;;
    esac
done
)";

constexpr const char* kJob = R"(#!/bin/sh
sh -c "$2" </dev/null >/output/text 2>&1
echo "done $1 $?" >/run/events
)";

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
        text.replace(at, from.size(), to);
    return text;
}

void pad(std::string& archive) {
    archive.resize((archive.size() + 3) / 4 * 4, '\0');
}

void append_entry(std::string& archive, const ArchiveEntry& entry, std::size_t number) {
    // magic, inode, mode, uid, gid, links, mtime, size, device (2), the device it is (2), length of the name, no check
    archive += fmt::format("070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}",
                           number, entry.mode, 0, 0, 1, 0, entry.content.size(), 0, 0, 0, 0, entry.path.size() + 1, 0);
    archive += entry.path;
    archive += '\0';
    pad(archive);
    archive += entry.content;
    pad(archive);
}

// "kernel/net/8021q/net-failover.ko" -> "net_failover": the kernel takes both signs for one.
std::string module_name(std::string_view file) {
    file.remove_prefix(std::min(file.rfind('/') + 1, file.size()));
    std::string name(file.substr(0, file.find('.')));
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

template <class Take>
void for_each_line(std::string_view text, Take take) {
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        take(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        if (end > 0) words.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
}

// Takes a number and the character behind it off the front.
template <class Number>
bool take_number(std::string_view& text, char behind, Number& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const auto length = static_cast<std::size_t>(end - text.data());
    if (error != std::errc() || length == text.size() || text[length] != behind) return false;
    text.remove_prefix(length + 1);
    return true;
}

}  // namespace

std::string cpio_archive(const std::vector<ArchiveEntry>& entries) {
    std::string archive;
    std::size_t number = 0;
    for (const auto& entry : entries) append_entry(archive, entry, ++number);
    append_entry(archive, {"TRAILER!!!", 0, ""}, 0);
    return archive;
}

std::vector<std::string> module_files(const std::vector<std::string>& wanted, std::string_view dep,
                                      std::string_view builtin) {
    std::set<std::string> present;
    for_each_line(builtin, [&](std::string_view line) { present.insert(module_name(line)); });
    std::map<std::string, std::vector<std::string>> lines;  // the file, then all that it needs, the first to load last
    for_each_line(dep, [&](std::string_view line) {
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos) return;
        std::vector<std::string> files = words_of(line.substr(colon + 1));
        files.insert(files.begin(), std::string(line.substr(0, colon)));
        lines.emplace(module_name(files.front()), std::move(files));
    });
    std::vector<std::string> order;
    for (const auto& name : wanted) {
        const auto found = lines.find(module_name(name));
        if (found == lines.end() && present.contains(module_name(name))) continue;
        if (found == lines.end()) throw std::runtime_error("the kernel has no module " + name);
        const std::vector<std::string> needed_first(found->second.rbegin(), found->second.rend());
        for (const std::string& file : needed_first)
            if (present.insert(module_name(file)).second) order.push_back(file);
    }
    return order;
}

bool is_static_program(std::string_view file) {
    Elf64_Ehdr header = {};
    if (file.size() < sizeof header) return false;
    std::memcpy(&header, file.data(), sizeof header);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_machine != EM_X86_64)
        return false;
    for (std::size_t i = 0; i < header.e_phnum; i++) {
        const std::size_t at = header.e_phoff + i * sizeof(Elf64_Phdr);
        Elf64_Phdr segment = {};
        if (at > file.size() || file.size() - at < sizeof segment) return false;
        std::memcpy(&segment, file.data() + at, sizeof segment);
        if (segment.p_type == PT_INTERP) return false;
    }
    return true;
}

std::string guest_archive(const GuestFiles& files) {
    constexpr std::uint32_t kProgram = S_IFREG | 0755;
    std::vector<ArchiveEntry> entries;
    for (const char* directory : {"bin", "dev", "proc", "sys", "run", "tmp", "root", "guest", "modules", "output"})
        entries.push_back({directory, S_IFDIR | 0755, ""});
    entries.push_back({"bin/busybox", kProgram, files.busybox});
    // By number: the shell's * is in order.
    for (std::size_t i = 0; i < files.modules.size(); i++)
        entries.push_back({fmt::format("modules/{:03}.ko", i), S_IFREG | 0644, files.modules[i]});
    entries.push_back({"guest/setup", kProgram, files.setup});
    entries.push_back({"guest/job", kProgram, kJob});
    entries.push_back(
        {"init", kProgram, replaced(replaced(kInit, "@READY@", kGuestReady), "@UNFINISHED@", kUnfinished)});
    return cpio_archive(entries);
}

std::string quote_words(const std::vector<std::string>& words) {
    std::string line;
    for (const auto& word : words) {
        line += line.empty() ? "$'" : " $'";
        for (const char c : word) {
            const bool plain = c >= ' ' && c <= '~' && c != '\'' && c != '\\';
            line += plain ? std::string(1, c) : fmt::format("\\{:03o}", static_cast<unsigned char>(c));
        }
        line += '\'';
    }
    return line;
}

std::string guest_request(std::string_view nonce, std::string_view command) {
    // The first line end closes what an earlier sender left unfinished.
    return fmt::format("\n{} {} {}\n", nonce, command, nonce);
}

std::optional<GuestAnswer> find_answer(std::string_view received, std::string_view nonce) {
    const std::string start = fmt::format("\n{} ", nonce);
    const std::size_t at = received.find(start);
    if (at == std::string_view::npos) return std::nullopt;
    received.remove_prefix(at + start.size());
    GuestAnswer answer;
    std::size_t size = 0;
    if (!take_number(received, ' ', answer.status) || !take_number(received, '\n', size) || received.size() < size)
        return std::nullopt;
    answer.output = received.substr(0, size);
    return answer;
}

}  // namespace underpass::lab
