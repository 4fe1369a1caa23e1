#!/usr/bin/env bash
# A Slurm of three emulated nodes on this machine, for tests; root and the packages of
# .ci/install-slurm are needed.
#
#   tests/slurm/cluster.sh up DIR      start it; prints the line to eval: export SLURM_CONF=...
#   tests/slurm/cluster.sh down DIR    end what `up DIR` started, by its pid files
#
# Everything is below DIR, munge's key and socket included, so that it disturbs no other Slurm.
# Ports: SLURM_TEST_PORT (26817) and the three after it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
nodes="n1 n2 n3"

main() {
    [ $# -eq 2 ] || { sed -n 's/^#   //p' "$0" >&2; exit 2; }
    mkdir -p "$2"
    dir=$(cd "$2" && pwd)
    export SLURM_CONF=$dir/slurm.conf
    case $1 in
        up) up ;;
        down) down ;;
        *) main ;;
    esac
}

up() {
    configure
    start_munge
    slurmctld -f "$SLURM_CONF"
    for node in $nodes; do slurmd -f "$SLURM_CONF" -N "$node"; done
    if wait_until all_idle; then
        echo "export SLURM_CONF=$SLURM_CONF"
    else
        echo "Slurm did not come up in 20 s; its logs are in $dir/log" >&2
        down
        exit 1
    fi
}

configure() {
    local port=${SLURM_TEST_PORT:-26817}
    mkdir -p "$dir"/{state,log,munge}
    for node in $nodes; do mkdir -p "$dir/tmp/$node" "$dir/spool.$node"; done
    sed -e "s#@DIR@#$dir#g" -e "s#@HOST@#$(hostname -s)#g" \
        -e "s#@PORT0@#$port#" -e "s#@PORT1@#$((port + 1))#" \
        -e "s#@PORT2@#$((port + 2))#" -e "s#@PORT3@#$((port + 3))#" \
        "$here/slurm.conf.in" >"$SLURM_CONF"
    # Slurm wants a device file behind each GPU that it is to number.
    printf 'NodeName=n3 Name=gpu File=%s\n' /dev/zero /dev/full >"$dir/gres.conf"
}

start_munge() {
    local at=$dir/munge
    chmod 755 "$at"
    (umask 077 && head -c 1024 /dev/urandom >"$at/key")
    munged --key-file="$at/key" --socket="$at/socket" --pid-file="$at/pid" \
        --log-file="$at/log" --seed-file="$at/seed"
    wait_until munge --socket="$at/socket" --no-input
}

all_idle() {
    local states
    states=$(timeout 5 sinfo --noheader --Node --format=%T)
    [ -n "$states" ] && ! grep -qvx idle <<<"$states"
}

wait_until() {
    for _ in $(seq 200); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    return 1
}

down() {
    timeout 5 scancel --user=root 2>/dev/null || true
    timeout 5 scontrol shutdown 2>/dev/null || true
    sleep 0.5
    for file in "$dir"/slurmctld.pid "$dir"/slurmd.*.pid "$dir"/munge/pid; do
        [ ! -f "$file" ] || kill "$(cat "$file")" 2>/dev/null || true
    done
}

main "$@"
