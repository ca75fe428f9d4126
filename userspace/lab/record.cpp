// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lab/record.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "loader/error.h"
#include "loader/lock.h"

namespace underpass::lab {

namespace {

using Json = nlohmann::json;

constexpr const char* kLabs = "/run/underpass/labs";

std::string boot_id() {
    std::string id;
    std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), id);
    return id;
}

std::filesystem::path journal(const std::string& lab) {
    return directory_of(lab) / "journal";
}

std::filesystem::path take_lock_path(const std::string& lab) {
    return directory_of(lab) / "lock";
}

void apply(Record& record, const Json& line) {
    if (line.contains("lab")) {
        record.lab = line.at("lab");
        record.source = line.at("source");
        record.text = line.at("text");
        record.name_override = line.at("name");
        record.accelerate_override = line.at("accelerate");
        record.this_boot = line.at("boot") == boot_id();
        record.begun =
            std::chrono::system_clock::time_point(std::chrono::seconds(line.at("begun").get<std::int64_t>()));
    } else if (line.contains("making")) {
        record.spaces.push_back({line.at("making"), std::nullopt});
    } else if (line.contains("made")) {
        const auto space = std::ranges::find(record.spaces, line.at("made").get<std::string>(), &Record::Space::name);
        if (space != record.spaces.end()) space->identity = line.at("identity").get<std::uint64_t>();
    } else if (line.contains("complete")) {
        record.complete = true;
    }
}

}  // namespace

std::filesystem::path directory_of(const std::string& lab) {
    return std::filesystem::path(kLabs) / lab;
}

std::uint64_t identity_of(const Namespace& space) {
    const Fd socket = space.run([] { return Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)); });
    std::uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    if (!socket || ::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0)
        throw_errno(errno, "tell the network namespace " + space.name() + " from others");
    return cookie;
}

std::optional<Record> read_record(const std::string& lab) {
    std::ifstream file(journal(lab));
    std::optional<Record> record;
    for (std::string line; std::getline(file, line);) {
        // A last line that was cut off says nothing: what it would have told had not begun.
        const Json json = Json::parse(line, nullptr, false);
        if (json.is_discarded()) break;
        if (!record) record.emplace();
        apply(*record, json);
    }
    return record;
}

std::vector<Record> read_records() {
    std::vector<Record> records;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(kLabs, ignored))
        if (auto record = read_record(entry.path().filename().string())) records.push_back(std::move(*record));
    std::ranges::sort(records, {}, &Record::lab);
    return records;
}

LabDirectory::LabDirectory(const std::string& lab) : path_(directory_of(lab)) {
    auto lock = try_lock(take_lock_path(lab));
    if (!lock)
        throw std::runtime_error(fmt::format("another command is at work on the lab {}: wait until it has ended", lab));
    lock_ = std::move(*lock);
}

std::optional<Record> LabDirectory::read() const {
    return read_record(path_.filename().string());
}

void LabDirectory::begin(const Record& record) const {
    clear();  // of an earlier boot
    append(Json{
        {"lab", record.lab},
        {"source", record.source},
        {"text", record.text},
        {"name", record.name_override},
        {"accelerate", record.accelerate_override},
        {"boot", boot_id()},
        {"begun",
         std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count()}}
               .dump());
}

void LabDirectory::making(const std::string& name) const {
    append(Json{{"making", name}}.dump());
}

void LabDirectory::made(const Namespace& space) const {
    append(Json{{"made", space.name()}, {"identity", identity_of(space)}}.dump());
}

void LabDirectory::complete() const {
    append(Json{{"complete", true}}.dump());
}

void LabDirectory::clear() const {
    // The journal last: whatever ends this, the next one finds the rest.
    for (const auto& entry : std::filesystem::directory_iterator(path_))
        if (entry.path() != take_lock_path(path_.filename()) && entry.path() != journal(path_.filename()))
            std::filesystem::remove_all(entry.path());
    std::filesystem::remove(journal(path_.filename()));
}

void LabDirectory::remove() const {
    clear();
    std::filesystem::remove(take_lock_path(path_.filename()));
    // These stay while there is another lab, or a daemon; the first, if another command has come meanwhile.
    ::rmdir(path_.c_str());
    ::rmdir(kLabs);
    ::rmdir(path_.parent_path().parent_path().c_str());
}

void LabDirectory::append(const std::string& line) const {
    const std::string file = (path_ / "journal").string();
    const Fd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    const std::string whole = line + '\n';
    if (!fd || ::write(fd.get(), whole.data(), whole.size()) != static_cast<ssize_t>(whole.size()))
        throw_errno(errno, "write " + file);
}

}  // namespace underpass::lab
