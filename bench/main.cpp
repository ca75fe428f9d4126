#include <cstdio>
#include <optional>
#include "bench/topology.h"
#include "bench/bare.h"
using namespace underpass::bench;
int main() {
    Topology topology(Ports::wire);
    for (int bytes : {60, 1500}) for (int side = 0; side < 3; side++) {
        Traffic t(topology, (std::uint16_t)bytes, 1024, 4, 1);
        std::optional<BareRedirect> bare;
        if (side) topology.bridge().run([&] { bare.emplace(side == 1 ? Hook::xdp : Hook::tc, topology.port(Side::left), topology.port(Side::right)); });
        t.learn();
        t.forward(std::chrono::milliseconds(200));
        auto p = t.forward(std::chrono::milliseconds(1000));
        printf("%d side %d: %.3f Mpps of %.3f busy %.2f\n", bytes, side, p.received / p.seconds / 1e6, p.sent / p.seconds / 1e6, p.busy_seconds);
    }
}
