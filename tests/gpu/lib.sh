# What run.sh and programs.sh share: the plugin that was built, installed in the engine of this machine; containers under it; the GPU
# watched from outside. Sourced at the top of the checkout, as root.
#
#   IMAGE       an image with python3 and PyTorch (default pytorch/pytorch)
#   GPU_FLAGS   what gives a container the GPU (default --gpus device=0)
#   DAEMON_JSON the engine's configuration file (default /etc/docker/daemon.json); the plugin is added to its authorization-plugins
#   DOCKERD_PID the engine's pid (default: of the only dockerd)
#   PLUGIN_SET  further settings of the plugin (name=value ...)
#   BUILD       what `make all` built (default build/ of the checkout)
build=${BUILD:-$PWD/build}
image=${IMAGE:-pytorch/pytorch}
read -ra flags <<<"${GPU_FLAGS:---gpus device=0}"
daemon_json=${DAEMON_JSON:-/etc/docker/daemon.json}
plugin=runai/gpu-memory-test
work=$(mktemp -d)
watch=(nvidia-smi --id=0 --query-gpu=memory.used --format=csv,noheader,nounits --loop-ms=20)
passed=0 failed=0
cp tests/gpu/*.py "$work/"
chmod 755 "$work"
touch "$work/samples"

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

cleanup() {
    trap - EXIT
    docker ps -aq --filter label=gpu-test | xargs -r docker rm -f >/dev/null
    authorize '[]'
    docker plugin disable -f $plugin >/dev/null 2>&1 || true
    docker plugin rm -f $plugin >/dev/null 2>&1 || true
    [ -z "${watcher:-}" ] || kill "$watcher" 2>/dev/null || true
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
smi() { nvidia-smi --id=0 --query-gpu="$1" --format=csv,noheader,nounits; }
quota() { echo "-v runai:/runai --label gpu-memory=$1"; }

# The most of the GPU that was in use, in MiB by NVML from outside, since the last call.
peak() {
    sleep 0.2
    sort -n "$work/samples" | tail -n 1
    : >"$work/samples"
}

# Puts the plugin in charge of the engine, begins to watch the GPU, and says what was measured on. Sets total and base, in MiB.
begin() {
    trap cleanup EXIT
    echo "# $(date -u +%F), $(smi name), driver $(smi driver_version), $(smi memory.total) MiB; Docker $(docker version --format '{{.Server.Version}}'), $(uname -r)"
    docker plugin create $plugin "$build/plugin" >/dev/null
    local socket
    socket=$(docker context inspect --format '{{.Endpoints.docker.Host}}')
    socket=${DOCKER_HOST:-$socket}
    docker plugin set $plugin "run.source=$(dirname "${socket#unix://}")" "DOCKER_HOST=unix:///host/run/$(basename "$socket")" ${PLUGIN_SET:-}
    docker plugin enable $plugin >/dev/null
    # The short name of the documentation: whatever the plugin is called, its volume is runai.
    authorize "[\"$plugin\"]"
    total=$(smi memory.total)
    base=$(smi memory.used)
    "${watch[@]}" >>"$work/samples" &
    watcher=$!
}

# The closing line; its code is that of the whole.
finish() {
    printf '%s passed, %s failed\n' $passed $failed
    [ $failed = 0 ]
}
