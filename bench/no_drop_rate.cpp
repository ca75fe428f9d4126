// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/no_drop_rate.h"

#include <algorithm>
#include <vector>

namespace underpass::bench {

namespace {

constexpr double kLowest = 1e-3;    // of the full rate
constexpr double kStepDown = 0.97;  // of a rate that held, and then did not

class Search {
public:
    Search(const TryRate& trial, double most_loss) : trial_(trial), most_loss_(most_loss) {}

    NoDropRate run() {
        const LossTrial full = tried(0);
        return {.rate = holds(full) ? rate_of_full(full) : rate_below(full), .full = full.rate};
    }

private:
    double rate_of_full(const LossTrial& full) {
        const LossTrial again = tried(0);
        return holds(again) ? std::min(full.rate, again.rate) : rate_below(full);
    }

    double rate_below(const LossTrial& full) {
        bad_ = full.rate;
        // What came through of too much is where it mostly ends up; of far too much, a host may forward nothing.
        if (full.loss > 0 && full.loss < 1) try_rate(full.rate * (1 - full.loss));
        while (trials_ < kMostTrials && bad_ > kLowest * full.rate) {
            if (bad_ - good() > kRatePrecision * bad_) {
                try_rate((good() + bad_) / 2);
                continue;
            }
            const LossTrial again = tried(good());
            if (holds(again)) return std::min(good(), again.rate);
            bad_ = good();
            held_.pop_back();
            try_rate(std::max(bad_ * kStepDown, (good() + bad_) / 2));
        }
        return 0;
    }

    bool holds(const LossTrial& trial) const { return trial.rate > 0 && trial.loss <= most_loss_; }

    LossTrial tried(double rate) {
        trials_++;
        return trial_(rate);
    }

    void try_rate(double rate) {
        if (holds(tried(rate)))
            held_.push_back(rate);
        else
            bad_ = rate;
    }

    double good() const { return held_.empty() ? 0 : held_.back(); }

    const TryRate& trial_;
    double most_loss_;
    int trials_ = 0;
    std::vector<double> held_;  // rising, all below bad_
    double bad_ = 0;
};

}  // namespace

NoDropRate find_no_drop_rate(const TryRate& trial, double most_loss) {
    return Search(trial, most_loss).run();
}

}  // namespace underpass::bench
