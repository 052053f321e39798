#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# That no container starts where the engine does not ask the plugin, and none is lost where it asks or cannot say yet,
# often enough to find what happens seldom.
#
#   tests/engine/boots.sh [--engines "20.10 26.1 28.5"] [--tries 100] [--boots 50] [--containers 20]
#       [--ends "stop kill9"] [--live-restore "without with"]
#
# On each engine: --tries runs with the volume on an engine that was never told to ask, as many after `docker plugin
# disable` and `enable` (one in ten tries disables and enables again, and takes the time until the log says so), and
# --boots boots with --containers containers each that come back by their restart policy: stopped and killed in turn,
# without live-restore and with it (a quarter of the containers die while an engine is away that was stopped), then a
# fifth as many with a daemon.json that no longer names the plugin. After each boot every container runs and has its own
# quota. Needs root and `make all`. Ends with the number of tries and boots that went well and of those that did not.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${BUILD:-$PWD/build}
control=tests/engine/private-engine.sh
plugin=runai/gpu-memory
image=gpu-demo
engines="20.10 26.1 28.5" tries=100 boots=50 containers=20 ends="stop kill9" restores="without with"
while [ $# -gt 0 ]; do
    case $1 in
    --engines) engines=$2 ;;
    --tries) tries=$2 ;;
    --boots) boots=$2 ;;
    --containers) containers=$2 ;;
    --ends) ends=$2 ;;
    --live-restore) restores=$2 ;;
    *) sed -n '3,/^set/p' "$0" | sed 's/^# \{0,1\}//;$d' && exit 2 ;;
    esac
    shift 2
done
[ "$(id -u)" = 0 ] || { echo "boots: needs root" >&2 && exit 1; }
for built in plugin/rootfs sim/simgpu; do
    [ -e "$build/$built" ] || { echo "boots: build/$built is missing: make all" >&2 && exit 1; }
done
$control get-engines "$build/engines"
work=$(mktemp -d /var/tmp/gpu-boots.XXXXXX)
engine=$work/engine
passed=0 failed=0
path=$PATH

cleanup() {
    trap - EXIT INT TERM
    $control down "$engine"
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

good() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1)) && echo "FAILED  $*"
    cp "$engine/log" "$build/boots-$failed.log" && echo "        the engine's log until then: build/boots-$failed.log"
}
asks() { [[ $(docker create --pull never --label gpu-memory=0 no-such-image 2>&1) == *"denied by plugin $plugin"* ]]; }

# eventually SECONDS COMMAND...
eventually() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

# On a machine with too much to do an engine gives up before its containerd is ready.
started() { # COMMAND...
    local n
    for n in 1 2 3 4 5; do
        ! "$@" >"$work/out" 2>&1 || return 0
        grep -q 'timeout waiting for containerd' "$work/out" || break
        [ "$2" != up ] || kill "$(cat "$engine/keeper")" || true
        sleep $((10 * n))
    done
    cat "$work/out" >&2
    return 1
}

names() { # "" or the plugin: what daemon.json names
    echo "{\"authorization-plugins\": [${1:+\"$1\"}]}" >"$engine/daemon.json"
}

begin() { # VERSION FLAG...
    local version=$1 bin=()
    shift
    PATH=$path
    if [ "$version" != 20.10 ]; then
        bin=(--bin "$build/engines/$version")
        PATH=$build/engines/$version:$path
    fi
    mkdir -p "$engine/run"
    "$build/sim/simgpu" create "$engine/run/simgpu" --total 10989m >/dev/null
    export SIMGPU_DIR=$engine/run/simgpu SIMGPU_LIB=$build/sim DOCKER_HOST=unix://$engine/run/docker.sock
    names ""
    started "$control" up "$engine" --path "$build/sim" ${bin[@]+"${bin[@]}"} -- --config-file "$engine/daemon.json" \
        "$@"
    docker plugin create $plugin "$build/plugin" >/dev/null
    docker plugin set $plugin "run.source=$engine/run" "driver.source=$build/sim" \
        NVML_LIBRARY=/host/usr/libnvidia-ml.so.1
    docker plugin enable $plugin >/dev/null
    sh tests/engine/image.sh | docker import - $image >/dev/null
}

reload() { # "" or the plugin
    names "$1"
    $control reload "$engine"
    if [ -n "$1" ]; then eventually 20 asks; else eventually 20 eval '! asks'; fi
}

complaints() { grep -c ' error 220: not asked: ' "$engine/log" || true; }
complained() { [ "$(complaints)" -gt "$1" ]; }

# One run with the volume must not start, and must say why.
try() { # WHAT
    docker run --rm --network none --gpus 1 -v runai:/runai --label gpu-memory=0.3 $image echo STARTED >"$work/out" \
        2>&1 || true
    if grep -q STARTED "$work/out"; then
        bad "$1: a container started"
    elif ! grep -q 'does not ask the plugin' "$work/out"; then
        bad "$1: $(cat "$work/out")"
    else
        good
    fi
}

unasked() { # VERSION
    local n before start late=0 now refused=$passed
    begin "$1"
    for n in $(seq "$tries"); do try "$1, never told to ask, try $n"; done
    reload $plugin
    for n in $(seq "$tries"); do
        if [ $((n % 10)) = 1 ]; then
            before=$(complaints)
            docker plugin disable -f $plugin >/dev/null
            docker plugin enable $plugin >/dev/null
            start=$(date +%s%N)
            eventually 20 complained "$before" || bad "$1: after disable and enable the log says nothing"
            now=$((($(date +%s%N) - start) / 1000000))
            [ $now -le $late ] || late=$now
        fi
        try "$1, after disable and enable, try $n"
    done
    printf '%s; ' "$(date -u +%T) $1: $((passed - refused)) of $((2 * tries)) runs refused"
    echo "the log said so at most $late ms after enable, at load $(cut -d' ' -f1 /proc/loadavg)"
    $control down "$engine"
}

running() { [ "$(docker ps -q --no-trunc | wc -l)" = "$containers" ]; }

# Each container has a directory with a quota of its own name and size.
delivered() {
    local id quota
    while read -r id quota; do
        grep -lsx "container=$id" "$engine"/root/plugins/*/propagated-mount/state/*/quota |
            xargs -r grep -qx "limit=$quota" || return 1
    done <"$work/containers"
}

# STOP (stop, kill9), WHAT: the engine goes, a quarter of what runs on without it ends, the engine comes back.
boot() {
    local id pid n=0
    : >"$work/pids"
    while read -r id _; do
        n=$((n + 1))
        [ $((n % 4)) != 0 ] || docker inspect -f '{{.State.Pid}}' "$id" >>"$work/pids"
    done <"$work/containers"
    $control "$1" "$engine"
    # Of one that is killed, the engine may say "id already in use" of such a container, with and without plugins.
    [ "$1" = stop ] || : >"$work/pids"
    while read -r pid; do
        ! grep -qs sleep "/proc/$pid/comm" || kill -KILL "$pid" 2>/dev/null || true
    done <"$work/pids"
    sleep 0.5
    started "$control" start "$engine"
    if ! eventually 60 running; then
        ended=$(docker ps -a --filter status=exited --format '{{.Names}}: {{.Status}}' | head -n 3)
        bad "$2: $(docker ps -q | wc -l) of $containers containers run: $ended"
        docker ps -aq --filter status=exited | xargs -r docker inspect -f '{{.State.Error}}' | head -n 3
        docker ps -aq --filter status=exited | xargs -r docker start >/dev/null || true
    elif ! eventually 60 delivered; then
        bad "$2: a container is without its quota"
    else
        good
    fi
}

kind() { # VERSION WHAT BOOTS FLAG...
    local version=$1 what=$2 count=$3 n stop lost=$failed stops
    read -ra stops <<<"$ends"
    shift 3
    begin "$version" "$@"
    reload $plugin
    : >"$work/containers"
    for n in $(seq "$containers"); do
        quota=$((100 + n))m
        id=$(docker run -d --restart always --stop-timeout 1 --network none --gpus 1 -v runai:/runai \
            --label "gpu-memory=$quota" $image sleep 100000)
        echo "$id $quota" >>"$work/containers"
    done
    eventually 60 delivered
    for n in $(seq "$count"); do
        stop=${stops[(n - 1) % ${#stops[@]}]}
        boot "$stop" "$version $what, boot $n ($stop)"
    done
    echo "$(date -u +%T) $version: $((count - failed + lost)) of $count boots $what lost none of $containers containers"
    names ""
    for n in $(seq $((count / 5))); do
        before=$(complaints)
        boot stop "$version $what, boot $n of an engine that no longer asks"
        # With live-restore the plugin goes on, and has said it.
        [[ $n != 1 && $* == *--live-restore* ]] || eventually 20 complained "$before" ||
            bad "$version $what: nobody says that the engine does not ask"
    done
    printf '%s, ' "$(date -u +%T) $version: $((count / 5)) boots $what of an engine that no longer asks"
    echo "$((failed - lost)) failures in all"
    $control down "$engine"
}

echo "# $(date -u +%F), $(nproc) cores, $(uname -r)"
for version in $engines; do
    [ "$tries" = 0 ] || unasked "$version"
    [[ $restores != *without* ]] || kind "$version" "without live-restore" "$boots"
    [[ " $restores " != *" with "* ]] || kind "$version" "with live-restore" "$boots" --live-restore
done
printf '%s passed, %s failed\n' $passed $failed
[ $failed = 0 ]
