# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
# What the scripts share that run inside the emulated machine: results that tests/summary.awk reads, namespaces,
# traffic that is compared byte for byte, and what Underpass tells of itself. A script says first how many results it
# will tell (plan), so that one that ends early is a failure.
#
# In: UNDERPASS, the program under test. Out: "result: ..." lines; `finish` ends with 1 if one of them says FAIL.
# The machine is gone after the script, so only what the next check would stumble over is cleaned up.

# A copy of PROGRAM in memory: the shared folder is read anew each time that one starts.
in_memory() {
    local copy
    copy=/tmp/$(basename "$1")
    strip -o "$copy" "$1" && echo "$copy"
}

# programs_in_memory PROGRAM ...: whoever is started from now on finds these there, with their libraries. What a machine
# starts a thousand times from the shared folder takes three times as long.
programs_in_memory() {
    local folder=/tmp/programs program file
    mkdir -p "$folder/lib"
    for program; do
        file=$(command -v "$program") || continue
        cp -L "$file" "$folder/"
        ldd "$file" 2>/dev/null | awk '$3 ~ "^/" {print $3}' | xargs -r cp -n -L -t "$folder/lib"
    done
    export PATH=$folder:$PATH LD_LIBRARY_PATH=$folder/lib
}

UNDERPASS=$(in_memory "$UNDERPASS") || exit 1
failed=0
# To take a device away, the kernel waits for all processors again and again: here not longer than it must.
if [ -n "${UNDERPASS_IN_VM:-}" ]; then
    echo 1 >/sys/kernel/rcu_expedited
    echo 0 >/sys/module/rcutree/parameters/jiffies_till_first_fqs
    echo 1 >/sys/module/rcutree/parameters/jiffies_till_next_fqs
fi

plan() { echo "result: PLAN $1"; }
pass() { echo "result: PASS $1"; }
skip() { echo "result: SKIP $1: $2"; }
fail() {
    failed=1
    echo "result: FAIL $1: $2"
}
note() { echo "-- $*"; }
finish() { exit "$failed"; }

# check NAME COMMAND [ARG ...]: one result. COMMAND prints why it failed; what it prints otherwise is of no interest.
check() {
    local name=$1 said=/tmp/said
    shift
    # Into a file, not a pipe: a child that outlives a failure must not hold us up.
    if ("$@") >$said 2>&1; then
        pass "$name"
    else
        fail "$name" "$(tail -n 1 $said)"
        cat $said
    fi
}

# equal WHAT WANTED GOT
equal() {
    [ "$2" = "$3" ] || { diff <(printf '%s\n' "$2") <(printf '%s\n' "$3"); echo "$1 differs"; return 1; }
}

# at_least WHAT LIMIT GOT, in whole numbers
at_least() { [ "$3" -ge "$2" ] || { echo "$1: wanted $2 or more, got $3"; return 1; }; }

# eventually SECONDS COMMAND [ARG ...]: until it succeeds; what it prints last is printed.
eventually() {
    local end=$((SECONDS + $1)) said
    shift
    until said=$("$@" 2>&1); do
        [ $SECONDS -lt "$end" ] || { printf '%s\n' "$said"; return 1; }
        sleep 0.2
    done
}

# `ip netns exec` would hide the BPF file system behind a fresh /sys.
within() {
    local namespace=$1
    shift
    nsenter --net="/run/netns/$namespace" -- "$@"
}

# --- Underpass's own word ---------------------------------------------------------------------------------------------

status_json() { "$UNDERPASS" status --json; }

# fast PORT: frames of that port that went fast. slow PORT REASON: those that did not, for that reason.
fast() { status_json | jq "[.bridges[].ports[] | select(.name == \"$1\") | .fast.packets // 0] | add // 0"; }
slow() { status_json | jq "[.bridges[].ports[] | select(.name == \"$1\") | .slow[\"$2\"].packets // 0] | add // 0"; }
hook() { status_json | jq -r ".bridges[].ports[] | select(.name == \"$1\") | .hook + \" \" + (.programs.xdp // \"-\")"; }

# goes_fast WHAT LIMIT COMMAND [ARG ...]: COMMAND succeeds, and of its frames at least LIMIT went fast at each of the
# two ports. In an emulated machine the daemon's heartbeat may be late for seconds, and the frames then go by the
# kernel, as they should: so COMMAND is repeated, but has to succeed every time.
goes_fast() {
    local what=$1 limit=$2 one two try
    shift 2
    one=$(fast "$port_a") two=$(fast "$port_b")
    for try in 1 2 3 4 5; do
        "$@" || return
        [ $(($(fast "$port_a") - one)) -lt "$limit" ] || [ $(($(fast "$port_b") - two)) -lt "$limit" ] || return 0
        echo "$what: not fast enough at try $try"
    done
    status_json
    at_least "$what: fast frames at $port_a" "$limit" $(($(fast "$port_a") - one)) &&
        at_least "$what: fast frames at $port_b" "$limit" $(($(fast "$port_b") - two))
}

# --- two hosts on a bridge, each behind a NIC with a real driver --------------------------------------------------------

# NICs 0-1 and 2-3 are wired: 1 and 2 become ports of br0, 0 and 3 the hosts a and b in namespaces of their own.
nic_a=eth0 port_a=eth1 port_b=eth2 nic_b=eth3
host_a=192.0.2.1 host_b=192.0.2.2

hosts_up() {
    local device namespace
    sysctl -qw net.ipv6.conf.default.accept_dad=0
    for namespace in a b; do
        ip netns add "$namespace"
        within "$namespace" ip link set lo up
    done
    ip link set "$nic_a" netns a
    ip link set "$nic_b" netns b
    within a ip address add "$host_a/24" dev "$nic_a"
    within b ip address add "$host_b/24" dev "$nic_b"
    ip link add br0 type bridge
    for device in "$port_a" "$port_b"; do
        ip link set "$device" master br0
        ip link set "$device" up
    done
    ip link set br0 up
    within a ip link set "$nic_a" up
    within b ip link set "$nic_b" up
    eventually 30 pings a "$host_b" 1
}

link_local() { within "$1" ip -6 -j address show dev "$2" scope link | jq -r '.[].addr_info[].local'; }
mac() { within "$1" ip -j link show "$2" | jq -r '.[].address'; }

# pings HOST ADDRESS COUNT [ARG ...]: every one is answered.
pings() {
    local host=$1 address=$2 count=$3
    shift 3
    within "$host" ping -n -q -c "$count" -i 0.1 -W 5 "$@" "$address" || { echo "ping from $host to $address is lost"; return 1; }
}

# transfer FROM TO ADDRESS BYTES: TCP from the host FROM, which has ADDRESS, to the host TO; the same bytes arrive.
transfer() {
    local from=$1 to=$2 address=$3 bytes=$4 server sent got
    head -c "$bytes" /dev/urandom >/tmp/sent
    sent=$(sha256sum </tmp/sent)
    within "$from" busybox nc -l -p 5000 </tmp/sent &
    server=$!
    eventually 10 within "$from" sh -c 'ss -Hltn sport = :5000 | grep -q .' || { kill "$server"; echo "no server"; return 1; }
    # shellcheck disable=SC2016  # the inner shell expands it
    got=$(within "$to" timeout 120 bash -c 'cat <"/dev/tcp/$0/5000"' "$address" | sha256sum)
    kill "$server" 2>/dev/null || :
    wait "$server" || :
    equal "what TCP carried from $from to $to" "$sent" "$got"
}

# capture HOST NIC FILE FILTER: starts one in the background and returns its process id in $capture.
capture() {
    local host=$1 nic=$2 file=$3
    shift 3
    rm -f "$file"
    within "$host" tcpdump -q -U -s 0 -B 8192 -i "$nic" -w "$file" "$@" 2>"$file.log" &
    capture=$!
    eventually 20 grep -q "listening on" "$file.log"
}

# end_capture PROCESS ...: what is still on its way is captured too.
end_capture() {
    sleep 1
    kill "$@"
    wait "$@" || :
}

# One line a frame, its bytes, sorted: order between flows is nobody's promise.
frames_in() {
    tcpdump -n -t -xx -r "$1" 2>/dev/null |
        awk '/^[ \t]+0x/ {if ($1 == "0x0000:" && n++) print ""; for (i = 2; i <= NF; i++) printf "%s", $i} END {if (n) print ""}' | sort
}

# frames_arrive HOST NIC FROM-ADDRESS TO-HOST TO-NIC TO-ADDRESS: UDP of many sizes, each frame arrives once, byte for
# byte as it was sent.
frames_arrive() {
    local from=$1 nic=$2 source=$3 to=$4 other_nic=$5 destination=$6 size at_sender at_receiver to_mac
    local -a sizes=(0 1 17 18 19 63 64 127 200 512 1000 1471 1472)
    capture "$from" "$nic" /tmp/sent.pcap "udp dst port 7777 and src host $source" || { echo "cannot capture at $from"; return 1; }
    at_sender=$capture
    capture "$to" "$other_nic" /tmp/received.pcap "udp dst port 7777 and src host $source" || { echo "cannot capture at $to"; return 1; }
    at_receiver=$capture
    to_mac=$(mac "$to" "$other_nic")
    for size in "${sizes[@]}"; do
        within "$from" mausezahn "$nic" -q -c 4 -d 2ms -a own -b "$to_mac" -A "$source" -B "$destination" \
            -t udp "sp=$((10000 + size)),dp=7777" -p "$size" >/dev/null
    done
    end_capture "$at_sender" "$at_receiver"
    at_least "frames that $from sent" $((4 * ${#sizes[@]})) "$(frames_in /tmp/sent.pcap | wc -l)" &&
        equal "what arrived at $to" "$(frames_in /tmp/sent.pcap)" "$(frames_in /tmp/received.pcap)"
}

# --- the host, as `down` must leave it ----------------------------------------------------------------------------------

# Without the numbers that the kernel gives to each program and link anew: libxdp makes another dispatcher whenever who
# is in it changes.
without_numbers() {
    sed -E 's/\b(driver id|prog\/xdp id|btf_id|load_time|prog) [0-9]+/\1 N/g; s/^[0-9]+: (tracing|ext|xdp)/N: \1/; s/(dispatch-[0-9]+)-[0-9]+/\1-N/'
}

# What is loaded into the kernel, and our files. libxdp keeps its empty folder.
state_of_bpf() {
    {
        bpftool net
        bpftool prog show | awk '/name/ {print $4}' | sort
        bpftool map show | awk '/name/ {print $4}' | sort
        bpftool link show
        find /sys/fs/bpf ! -path /sys/fs/bpf/xdp
        find /run/underpass 2>/dev/null
        pgrep -a underpass
    } | without_numbers
}

# Everything that Underpass could have changed, without what changes by itself.
state_of_the_host() {
    local device
    state_of_bpf
    ip -d link show | sed -E 's/_timer +[0-9.]+//g' | without_numbers
    bridge -d link show
    tc qdisc show
    for device in "$port_a" "$port_b" br0; do
        ethtool -k "$device"
        tc filter show dev "$device" ingress
    done
}

# The kernel frees programs after a grace period.
host_is_as() { eventually 20 same_host "$1"; }
same_host() { equal "the host" "$1" "$(state_of_the_host)"; }
