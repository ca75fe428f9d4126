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

_underpass() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' flags='' devices='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        check | up | down | status | run) command=${COMP_WORDS[i]} && break ;;
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
    run,-c | run,--config)
        compopt -o filenames 2>/dev/null # fails, harmlessly, where bash itself does not ask
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    esac
    case $command in
    '') flags="check up down status run --help --version" ;;
    check) flags="--hook --json --help" devices="$(_underpass_devices bridge) $(_underpass_devices brport)" ;;
    up) flags="--hook --all --json --help" devices=$(_underpass_devices bridge) ;;
    down) flags="--json --help" devices=$(_underpass_devices bridge) ;;
    status) flags="--json --help" ;;
    run) flags="--config --all --hook --help" ;;
    esac
    # Where a device is expected, a flag is offered once its first dash is there.
    if [ -n "${devices//[[:space:]]/}" ] && [[ $current != -* ]]; then flags=$devices; fi
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current")
}

complete -F _underpass underpass
