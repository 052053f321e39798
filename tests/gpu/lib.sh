# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2046,SC2086 # the sourcing script uses total; several words are meant
# What run.sh, programs.sh and pair.sh share: the plugin that was built, installed in the engine of this machine;
# containers under it; the GPUs watched from outside. Sourced at the top of the checkout, as root.
#
#   IMAGE       an image with python3 and PyTorch (default pytorch/pytorch)
#   GPU_FLAGS   what gives a container the GPU (default --gpus device=0)
#   DAEMON_JSON the engine's configuration file (default /etc/docker/daemon.json); the plugin is added to
#               its authorization-plugins
#   DOCKERD_PID the engine's pid (default: of the only dockerd)
#   PLUGIN_SET  further settings of the plugin (name=value ...)
#   BUILD       what `make all` built (default build/ of the checkout)
build=${BUILD:-$PWD/build}
image=${IMAGE:-pytorch/pytorch}
read -ra flags <<<"${GPU_FLAGS:---gpus device=0}"
daemon_json=${DAEMON_JSON:-/etc/docker/daemon.json}
plugin=runai/gpu-memory-test
work=$(mktemp -d)
gpus=(0) watchers=()
passed=0 failed=0
cp tests/gpu/*.py "$work/"
chmod 755 "$work"

authorize() { # PLUGINS: a JSON list
    python3 - "$daemon_json" "$1" <<'PYTHON'
import json, os, sys
path, plugins = sys.argv[1], json.loads(sys.argv[2])
settings = json.load(open(path)) if os.path.exists(path) and os.path.getsize(path) else {}
settings["authorization-plugins"] = plugins
if not plugins: del settings["authorization-plugins"]
json.dump(settings, open(path, "w"))
PYTHON
    kill -HUP "${DOCKERD_PID:-$(pidof -s dockerd)}"
    sleep 1
}

remove_containers() { docker ps -aq --filter label=gpu-test | xargs -r docker rm -f >/dev/null; }

cleanup() {
    trap - EXIT
    remove_containers
    authorize '[]'
    docker plugin disable -f $plugin >/dev/null 2>&1 || true
    docker plugin rm -f $plugin >/dev/null 2>&1 || true
    [ ${#watchers[@]} = 0 ] || kill "${watchers[@]}" 2>/dev/null || true
    rm -rf "$work"
}

check() { # WHAT, then a test as for [ ]
    local what=$1
    shift
    if [ "$@" ]; then
        passed=$((passed + 1)) && echo "ok      $what"
    else
        failed=$((failed + 1)) && echo "FAILED  $what: [ $* ]"
    fi
}

run() { docker run --rm --label gpu-test "${flags[@]}" "$@"; }
value() { sed -n "s/^$1=//p" "$work/out"; }
smi() { nvidia-smi --id="${2:-0}" --query-gpu="$1" --format=csv,noheader,nounits; } # WHAT [GPU]
quota() { echo "-v runai:/runai --label gpu-memory=$1"; }

# Prints what of a GPU is in use, in MiB by NVML from outside, a line a sample, until it is ended.
watch() { exec nvidia-smi --id="$1" --query-gpu=memory.used --format=csv,noheader,nounits --loop-ms=20; }

# The most of the GPU (0, or the one given) that watch saw since the last call.
peak() {
    local samples=$work/samples.${1:-0}
    sleep 0.2
    sort -n "$samples" | tail -n 1
    : >"$samples"
}

# Begins to watch anew, once what was there before is gone from the GPUs.
forget() {
    local gpu
    for gpu in "${gpus[@]}"; do
        for _ in $(seq 50); do [ "$(peak "$gpu")" != "$base" ] || break; done
    done
}

# Puts the plugin in charge of the engine (one that does not ask it starts no container with its volume), begins to
# watch the GPU, and says what was measured on. Sets total and base, in MiB.
begin() {
    trap cleanup EXIT
    printf '%s; ' "# $(date -u +%F), $(smi name), driver $(smi driver_version), $(smi memory.total) MiB"
    echo "Docker $(docker version --format '{{.Server.Version}}'), $(uname -r)"
    docker plugin create $plugin "$build/plugin" >/dev/null
    local socket
    socket=$(docker context inspect --format '{{.Endpoints.docker.Host}}')
    socket=${DOCKER_HOST:-$socket}
    docker plugin set $plugin "run.source=$(dirname "${socket#unix://}")" \
        "DOCKER_HOST=unix:///host/run/$(basename "$socket")" ${PLUGIN_SET:-}
    docker plugin enable $plugin >/dev/null
    # The short name of the documentation: whatever the plugin is called, its volume is runai.
    authorize "[\"$plugin\"]"
    total=$(smi memory.total)
    base=$(smi memory.used)
    local gpu
    for gpu in "${gpus[@]}"; do
        watch "$gpu" >>"$work/samples.$gpu" &
        watchers+=($!)
    done
}

# program TITLE LIMIT_MIB DOCKER_FLAG... -- FILE ARGUMENT...: runs the Python program under that quota; its lines are in
# $work/out.
program() {
    local title=$1 limit=$2 given=() code=0 gpu most where=
    shift 2
    while [ "$1" != -- ]; do given+=("$1") && shift; done
    shift
    printf '## %s, gpu-memory=%sm\n' "$title" "$limit"
    forget
    timeout -k 5 100 docker run --rm --label gpu-test "${flags[@]}" $(quota "${limit}m") -v "$work:/check:ro" \
        -e HOME=/tmp "${given[@]}" "$image" \
        python3 "/check/$1" "${@:2}" >"$work/out" 2>"$work/err" || code=$?
    cat "$work/out"
    [ $code = 0 ] || tail -n 15 "$work/err"
    remove_containers
    check "it ends well" $code = 0
    for gpu in "${gpus[@]}"; do
        most=$(peak "$gpu")
        most=$((${most:-0} - base))
        [ ${#gpus[@]} = 1 ] || where="GPU $gpu, "
        check "${where}NVML from outside: at most $most of $limit MiB" "$most" -le "$limit" -a "$most" -gt 100
    done
}

# What every program that fills the GPU has to show: the exception is its own kind's, and work goes on.
recovers() { # EXCEPTION LEAST_MIB
    check "at the limit: $1" "$(value error)" = "$1"
    check "at least $2 MiB of the quota could be had" "$(value allocated)" -ge "$2"
    check "work goes on after it" "$(value sum_after)" = 67108864
}

equal() { check "$1" -n "$(value "$2")" -a "$(value "$2")" = "$(value "$3")"; } # WHAT KEY KEY

# The closing line; its code is that of the whole.
finish() {
    printf '%s passed, %s failed\n' $passed $failed
    [ $failed = 0 ]
}
