#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A Docker engine of our own beside whatever runs on the machine: own socket, own folders, an own copy of /etc, a mount
# and a network namespace of its own. So its bridge, its mounts and its plugins' sockets are nobody else's, and nothing
# of it is left when it ends.
#
#   private-engine.sh up DIR [--bin FOLDER] [--path FOLDER] [-- dockerd flags]   start; the socket: DIR/run/docker.sock
#   private-engine.sh stop DIR | kill9 DIR | start DIR [-- dockerd flags]        the same engine again, same namespaces
#   private-engine.sh reload DIR                          SIGHUP, and wait for what comes of it: read, refused or ended
#   private-engine.sh down DIR                                                   end it, and remove DIR
#   private-engine.sh get-engines FOLDER                                         Debian's newer engines
#
# --bin: where dockerd and containerd are, when not the installed ones; --path: put first on dockerd's PATH (a runtime
# hook). Needs root; unshare and nsenter (util-linux), ip (iproute2).
set -euo pipefail

die() {
    echo "private-engine: $*" >&2
    exit 1
}

# dockerd's arguments are kept in DIR/flags, so that `start` repeats what `up` said unless it is told otherwise.
start() {
    local dir=$1
    mapfile -t flags <"$dir/flags"
    local path
    path=$(cat "$dir/path")
    rm -f "$dir/pid"
    PATH=$path setsid nsenter --target "$(cat "$dir/keeper")" --mount --net -- env -C / dockerd \
        --data-root "$dir/root" --exec-root "$dir/exec" --pidfile "$dir/pid" -H "unix://$dir/run/docker.sock" \
        --iptables=false --ip6tables=false --userland-proxy=false "${flags[@]}" >>"$dir/log" 2>&1 </dev/null &
    local daemon=$!
    for _ in $(seq 300); do
        if docker -H "unix://$dir/run/docker.sock" version >/dev/null 2>&1; then return; fi
        kill -0 $daemon 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$dir/log" >&2
    die "dockerd did not start; its log is $dir/log"
}

# Waits until a process that we started is gone.
ended() {
    for _ in $(seq 300); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}

up() {
    local dir=$1 bin='' prefix=''
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --bin) bin=$2 && shift 2 ;;
        --path) prefix=$2 && shift 2 ;;
        --) shift && break ;;
        *) die "unknown option $1" ;;
        esac
    done
    [ "$(id -u)" = 0 ] || die "needs root"
    mkdir -p "$dir/run"
    local path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    [ -z "$bin" ] || path=$bin:$path
    [ -z "$prefix" ] || path=$prefix:$path
    echo "$path" >"$dir/path"
    : >"$dir/flags"
    [ $# = 0 ] || printf '%s\n' "$@" >"$dir/flags"
    # The keeper holds the namespaces open while the engine stops and starts.
    setsid unshare --mount --net --propagation slave -- sh -c "
        { ip link set lo up || echo 'no loopback: ip (iproute2) is missing'; } &&
        mkdir -p /run/docker && mount -t tmpfs tmpfs /run/docker &&
        mkdir '$dir/etc-of-the-engine' && mount -t tmpfs tmpfs '$dir/etc-of-the-engine' &&
        cp -a /etc/. '$dir/etc-of-the-engine' &&
        mount --bind '$dir/etc-of-the-engine' /etc &&
        echo \$\$ >'$dir/keeper' && exec sleep infinity" >"$dir/log" 2>&1 </dev/null &
    for _ in $(seq 100); do
        [ -s "$dir/keeper" ] && break
        sleep 0.05
    done
    [ -s "$dir/keeper" ] || die "no namespaces of our own: $(cat "$dir/log")"
    start "$dir"
}

stop() {
    local dir=$1 signal=$2 pid
    [ -s "$dir/pid" ] || return 0
    pid=$(cat "$dir/pid")
    kill "-$signal" "$pid" 2>/dev/null || return 0
    ended "$pid" || die "dockerd $pid does not end"
    rm -f "$dir/pid"
}

# What an engine leaves running when it is killed, or stopped with live-restore: containerd and the containers' shims,
# all of which name our folder on their command line.
leftovers() {
    local dir=$1 proc
    for proc in /proc/[0-9]*; do
        if { tr '\0' ' ' <"$proc/cmdline"; } 2>/dev/null | grep -q "^[^ ]*containerd.* $dir/"; then
            echo "${proc#/proc/}"
        fi
    done
}

down() {
    local dir=$1 pid keeper
    [ -d "$dir" ] || return 0
    if [ -s "$dir/pid" ] && [ -S "$dir/run/docker.sock" ]; then
        docker -H "unix://$dir/run/docker.sock" ps -q 2>/dev/null |
            xargs -r docker -H "unix://$dir/run/docker.sock" kill >/dev/null 2>&1 || true
    fi
    stop "$dir" TERM
    for pid in $(leftovers "$dir"); do
        pkill -KILL -P "$pid" 2>/dev/null || true
        kill -KILL "$pid" 2>/dev/null || true
    done
    if [ -s "$dir/keeper" ]; then
        keeper=$(cat "$dir/keeper")
        kill "$keeper" 2>/dev/null || true
        ended "$keeper" || true
    fi
    for _ in $(seq 50); do
        rm -rf "$dir" 2>/dev/null && return
        sleep 0.1
    done
    rm -rf "$dir"
}

# Newer engines, with their Compose, from Debian's own archive, unpacked only. Their runc needs a newer glibc than
# bookworm's: the installed one is used.
get_engines() {
    local folder=$1 suite version work deb
    for suite in trixie sid; do
        [ $suite = trixie ] && version=26.1 || version=28.5
        [ -x "$folder/$version/docker-compose" ] && continue
        work=$(mktemp -d)
        "$(dirname "$0")/debian.sh" $suite "$work/debs" docker.io docker-cli containerd docker-compose
        for deb in "$work"/debs/*.deb; do dpkg -x "$deb" "$work/x"; done
        mkdir -p "$folder/$version"
        cp "$work"/x/usr/bin/{containerd,containerd-shim-runc-v2,docker} "$work"/x/usr/sbin/dockerd \
            "$work"/x/usr/libexec/docker/cli-plugins/docker-compose "$folder/$version/"
        rm -rf "$work"
    done
}

# The engine goes on as before until it has read its configuration.
reload() {
    local pid before answers='"(Reloaded configuration|unable to configure the Docker daemon)|level=fatal'
    pid=$(cat "$1/pid")
    before=$(grep -cE "$answers" "$1/log") || true
    kill -HUP "$pid"
    for _ in $(seq 1500); do
        if ! kill -0 "$pid" 2>/dev/null || [ "$(grep -cE "$answers" "$1/log")" != "$before" ]; then return; fi
        sleep 0.02
    done
    die "the engine has not read its configuration within 30 s: $1/log"
}

case ${1:-} in
up) up "${@:2}" ;;
start)
    dir=$2
    shift 2
    if [ "${1:-}" = -- ]; then shift && printf '%s\n' "$@" >"$dir/flags"; fi
    start "$dir"
    ;;
stop) stop "$2" TERM ;;
kill9) stop "$2" KILL ;;
reload) reload "$2" ;;
down) down "$2" ;;
get-engines) get_engines "$2" ;;
*) sed -n '3,/^set/p' "$0" | sed 's/^# \{0,1\}//;$d' && exit 2 ;;
esac
