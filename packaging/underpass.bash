# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
# Bash completion of underpass(8). What it offers is what `underpass COMMAND --help` shows; a test compares the two.

# The devices that have the given file in sysfs: bridges have `bridge`, their ports have `brport`. A name that bash would
# have to quote is left out: it may hold anything but a slash and blanks, a command in $() too.
_underpass_devices() {
    local path name
    for path in /sys/class/net/*/"$1"; do
        [ -e "$path" ] || continue
        name=${path%/*} name=${name##*/}
        [[ $name == *[!A-Za-z0-9._@+-]* ]] || echo "$name"
    done
}

# The network namespaces named as those of labs are, LAB.NODE.
_underpass_namespaces() {
    local path name
    for path in /run/netns/*.*; do
        name=${path##*/}
        [[ $name == *[!A-Za-z0-9._-]* ]] || echo "$name"
    done
}

# The labs that are up. Their directory is for root; somebody else (before `sudo`, say) gets whatever is named so.
_underpass_labs() {
    local path name
    if [ -r /run/underpass/labs ]; then
        for path in /run/underpass/labs/*/journal; do
            [ -e "$path" ] || continue
            path=${path%/*}
            echo "${path##*/}"
        done
    elif [ -e /run/underpass ]; then
        for name in $(_underpass_namespaces); do echo "${name%%.*}"; done
    fi
}

# The nodes of these labs: each as LAB.NODE, and as NODE where only one has it.
_underpass_nodes() {
    local name labs
    labs=" $(_underpass_labs | tr '\n' ' ')"
    for name in $(_underpass_namespaces); do
        [[ $labs != *" ${name%%.*} "* ]] || echo "$name"
    done | awk -F. '{print; count[$2]++} END {for (node in count) if (count[node] == 1) print node}'
}

# What begins like $1 of the words $2 and, with a third argument, of the files of labs.
_underpass_offer() {
    local suffix
    mapfile -t COMPREPLY < <(
        compgen -W "$2" -- "$1"
        [ -n "${3-}" ] || return
        for suffix in yaml yml; do compgen -f -X "!*.$suffix" -- "$1"; done
        compgen -d -- "$1"
    )
    [ -z "${3-}" ] || compopt -o filenames 2>/dev/null # fails, harmlessly, where bash itself does not ask
}

# After `underpass lab COMMAND`, whose index in COMP_WORDS is $3.
_underpass_lab() {
    local current=$1 command=$2 models="bridged guests isolated macvlan nat routed tunnel vlan vrouter"
    local i flags='' words='' files='' given=''
    for ((i = $3 + 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i - 1]},${COMP_WORDS[i]} in
        *,--)
            # What follows is another program's matter.
            if declare -F _command_offset >/dev/null; then
                _command_offset $((i + 1))
            else
                mapfile -t COMPREPLY < <(compgen -c -- "$current")
            fi
            return
            ;;
        *,-* | *,= | =,* | --name,* | --accelerate,* | --format,*) ;;
        *) given=1 ;;
        esac
    done
    case $command in
    up) flags="--name --accelerate --quiet --json --help" words=$models files=1 ;;
    down) flags="--all --json --help" words=$(_underpass_labs) files=1 ;;
    show) flags="--json --help" words=$(_underpass_labs) ;;
    exec) flags="--help" words=$(_underpass_nodes) ;;
    test) flags="--quiet --json --help" words=$(_underpass_labs) ;;
    graph) flags="--format --help" words="$(_underpass_labs) $models" files=1 ;;
    models) flags="--json --help" ;;
    init) flags="--help" words=$models ;;
    schema) flags="--help" ;;
    esac
    if [ "$command" = exec ] && [ -n "$given" ]; then
        _underpass_offer "$current" --
    elif [ -n "$words$files" ] && [ -z "$given" ] && [[ $current != -* ]]; then
        _underpass_offer "$current" "$words" "$files"
    else
        _underpass_offer "$current" "$flags"
    fi
}

_underpass() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' flags='' devices='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case $command,${COMP_WORDS[i]} in
        ,check | ,up | ,down | ,status | ,flows | ,run | ,bench | ,pktgen) command=${COMP_WORDS[i]} && break ;;
        ,lab) command=lab ;;
        lab,up | lab,down | lab,show | lab,exec | lab,test | lab,graph | lab,models | lab,init | lab,schema)
            command="lab ${COMP_WORDS[i]}" && break
            ;;
        esac
    done
    # Bash takes `--hook=xdp` apart into three words.
    if [ "$current" = = ]; then
        current=
    elif [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $command,$previous in
    check,--hook | up,--hook | run,--hook)
        mapfile -t COMPREPLY < <(compgen -W "auto tc xdp" -- "$current")
        return
        ;;
    bench,--hook)
        mapfile -t COMPREPLY < <(compgen -W "tc xdp" -- "$current")
        return
        ;;
    bench,--generator)
        mapfile -t COMPREPLY < <(compgen -W "frames pktgen iperf3 sockperf" -- "$current")
        return
        ;;
    bench,--from | bench,--to)
        mapfile -t COMPREPLY < <(compgen -W "$(_underpass_devices queues)" -- "$current")
        return
        ;;
    pktgen,--xmit-mode)
        mapfile -t COMPREPLY < <(compgen -W "start_xmit queue_xmit netif_receive" -- "$current")
        return
        ;;
    bench,--seconds | bench,--repeat | bench,--case | bench,--loss | bench,--size | bench,--destination* | \
        bench,--source | bench,--flows | bench,--sides | pktgen,--destination* | pktgen,--source* | \
        pktgen,--vlan | pktgen,--size | pktgen,--seconds | pktgen,--count | pktgen,--rate | pktgen,--threads | \
        pktgen,--burst | pktgen,--clone)
        COMPREPLY=()
        return
        ;;
    run,-c | run,--config | bench,--json | bench,--html | bench,--markdown | bench,--against | bench,--show)
        compopt -o filenames 2>/dev/null # fails, harmlessly, where bash itself does not ask
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    "lab up,--name")
        COMPREPLY=()
        return
        ;;
    "lab up,--accelerate")
        mapfile -t COMPREPLY < <(compgen -W "auto xdp tc false" -- "$current")
        return
        ;;
    "lab graph,--format")
        mapfile -t COMPREPLY < <(compgen -W "text svg dot" -- "$current")
        return
        ;;
    esac
    case $command in
    '') flags="check up down status flows run lab bench pktgen --help --version" ;;
    check) flags="--hook --json --help" devices="$(_underpass_devices bridge) $(_underpass_devices brport)" ;;
    up) flags="--hook --all --rxvlan-off --json --help" devices=$(_underpass_devices bridge) ;;
    down) flags="--json --help" devices=$(_underpass_devices bridge) ;;
    status) flags="--vlans --json --help" ;;
    flows) flags="--top --json --help" ;;
    run) flags="--config --all --hook --rxvlan-off --help" ;;
    bench)
        flags="--seconds --repeat --quick --hook --case --profile --json --html --markdown --against --show --generator --ndr
            --loss --from --to --sides --size --destination-mac --destination --source --flows --help"
        devices="l2 l2-brnf vlan-push vlan-pop vlan-keep route nat nat-filter vxlan-decap vxlan-encap
            container-to-container container-to-uplink mac-scale flow-scale change-rate"
        ;;
    pktgen)
        flags="--destination-mac --source-mac --destination --source --destination-port --source-port --random --vlan
            --size --seconds --count --rate --threads --burst --clone --xmit-mode --dry-run --json --help"
        devices=$(_underpass_devices queues)
        ;;
    lab) flags="up down show exec test graph models init schema --help" ;;
    "lab "*)
        _underpass_lab "$current" "${command#lab }" "$i"
        return
        ;;
    esac
    # Where a device (or a scenario) is expected, a flag is offered once its first dash is there.
    if [ -n "${devices//[[:space:]]/}" ] && [[ $current != -* ]]; then flags=$devices; fi
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current")
}

complete -F _underpass underpass
