// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/cpu_time.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <sstream>
#include <string>

namespace underpass::bench {

CpuTime::CpuTime(std::vector<int> cpus) : cpus_(std::move(cpus)), start_(read()) {}

CpuTime::Reading CpuTime::read() const {
    Reading reading;
    std::ifstream file("/proc/stat");
    reading.when = std::chrono::steady_clock::now();
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with("cpu") || line.size() < 4 || std::isdigit(static_cast<unsigned char>(line[3])) == 0)
            continue;
        std::istringstream fields(line.substr(3));
        int cpu = 0;
        double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
        fields >> cpu >> user >> nice >> system >> idle >> iowait >> irq >> softirq >> steal;
        if (!cpus_.empty() && std::find(cpus_.begin(), cpus_.end(), cpu) == cpus_.end()) continue;
        reading.unused_seconds += (idle + iowait + steal) / static_cast<double>(::sysconf(_SC_CLK_TCK));
        reading.cpus++;
    }
    return reading;
}

double CpuTime::busy_seconds() const {
    const Reading end = read();
    const double passed = std::chrono::duration<double>(end.when - start_.when).count();
    return std::max(0.0, passed * end.cpus - (end.unused_seconds - start_.unused_seconds));
}

}  // namespace underpass::bench
