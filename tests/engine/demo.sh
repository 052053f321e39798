#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows the main job: a stock `docker run` with a label gets a part of the GPU and no more. `make demo` builds what this
# needs; record-demo.py records it.
#
#   ENGINE=private (default)  a Docker engine of its own, in namespaces of its own, gone afterwards (private-engine.sh)
#   ENGINE=system             the running engine; the plugin must be enabled and named in its authorization-plugins
#
# The GPU is the real one where there is one, else the simulated (tests/sim). Exit code 0 only if every figure is right.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$PWD/build
engine=tests/engine/private-engine.sh
image='gpu-demo'
plugin=${PLUGIN:-runai/gpu-memory}
work=$(mktemp -d /var/tmp/gpu-demo.XXXXXX)
failures=0

cleanup() {
    trap - EXIT INT TERM
    if [ "${ENGINE:-private}" = private ]; then
        $engine down "$work/engine"
    else
        docker rm -f gpu-demo-left gpu-demo-right >/dev/null 2>&1 || true
        docker image rm -f $image >/dev/null 2>&1 || true
    fi
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# run COMMAND...: prints the command as one would type it, then what it prints. Its exit code is left in $code.
run() {
    printf '$ %s\n' "$*"
    code=0
    "$@" >"$work/out" 2>&1 || code=$?
    sed 's/^/  /' "$work/out"
}

# expect WHAT REGEX [CODE]: the last output has a line like this, and the exit code was CODE (0).
expect() {
    if grep -Eq -- "$2" "$work/out" && [ $code -eq "${3:-0}" ]; then
        printf '  ok: %s\n' "$1"
    else
        printf '  FAILED: %s: expected /%s/ and exit code %s, got exit code %s\n' "$1" "$2" "${3:-0}" $code
        failures=$((failures + 1))
    fi
}

# Whether the engine asks the plugin about calls. `docker info` does not show plugins that were named after the engine's
# start.
asked() { [[ $(docker create --pull never --label gpu-memory=0 no-such-image 2>&1) == *"denied by plugin $plugin"* ]]; }

start_engine() {
    if [ "${ENGINE:-private}" = system ]; then
        asked && return
        echo "The running engine does not ask the plugin. As root: make plugin enable, then
{\"authorization-plugins\": [\"$plugin\"]} in /etc/docker/daemon.json, and systemctl reload docker." >&2
        exit 1
    fi
    say "A private Docker engine, with the plugin installed as an admin would"
    echo '{}' >"$work/engine/daemon.json"
    echo "Starting dockerd"
    $engine up "$work/engine" --path "$build/sim" -- --config-file "$work/engine/daemon.json"
    export DOCKER_HOST=unix://$work/engine/run/docker.sock
    printf '$ export DOCKER_HOST=%s\n' "$DOCKER_HOST"
    run docker plugin create "$plugin" build/plugin
    run docker plugin set "$plugin" "run.source=$work/engine/run"
    if [ "$gpu" = simulated ]; then
        run docker plugin set "$plugin" "driver.source=$build/sim" NVML_LIBRARY=/host/usr/libnvidia-ml.so.1
    fi
    run docker plugin enable "$plugin"
    printf '%s && ' "\$ echo '{\"authorization-plugins\": [\"$plugin\"]}' > $work/engine/daemon.json"
    echo "kill -HUP \$(cat $work/engine/pid)"
    echo "{\"authorization-plugins\": [\"$plugin\"]}" >"$work/engine/daemon.json"
    $engine reload "$work/engine"
    for _ in $(seq 50); do
        asked && return
        sleep 0.1
    done
    echo "the engine did not take the plugin into its authorization chain" >&2
    exit 1
}

# The flags that give a container one GPU.
gpu_flags() {
    if [ "$gpu" = simulated ] && [ "${ENGINE:-private}" = system ]; then
        # The running engine knows nothing of a simulated GPU: what NVIDIA's hook would do for --gpus, by binds.
        printf '%s ' "-v $build/sim:/sim:ro -v $work/engine/run/simgpu:/run/simgpu"
        echo "-e LD_LIBRARY_PATH=/sim -e PATH=/sim:/usr/bin:/bin"
    elif [ "$gpu" = real ] && ! command -v nvidia-container-runtime-hook >/dev/null; then
        # No toolkit: the nodes and the host's driver, by hand.
        for node in /dev/nvidiactl /dev/nvidia-uvm /dev/nvidia0; do printf -- '--device %s ' $node; done
        printf '%s ' "-v $driver:$driver:ro -e LD_LIBRARY_PATH=$driver"
        echo "-v $(command -v nvidia-smi):/usr/bin/nvidia-smi:ro -v $build/sim/gpu-alloc:/usr/bin/gpu-alloc:ro"
    elif [ "$gpu" = real ]; then
        echo "--gpus 1 -v $build/sim/gpu-alloc:/usr/bin/gpu-alloc:ro"
    else
        echo "--gpus 1"
    fi
}

if [ -e /dev/nvidiactl ]; then
    gpu=real
    mkdir -p "$work/engine"
    # Where the library itself is: beside it is NVML, and the folder with a link to it may be the C library's.
    driver=$(ldconfig -p | awk '$1 == "libcuda.so.1" && /x86-64|AArch64/ { print $NF; exit }')
    driver=$(dirname "$(readlink -f "$driver")")
    echo "A real GPU: $(nvidia-smi -L | head -n 1)"
    total=$(nvidia-smi --id=0 --query-gpu=memory.total --format=csv,noheader,nounits)
else
    gpu=simulated
    total=10989
    mkdir -p "$work/engine/run"
    "$build/sim/simgpu" create "$work/engine/run/simgpu" --total ${total}m >/dev/null
    echo "No real GPU here: a simulated one of $total MiB stands in for it."
    export SIMGPU_DIR=$work/engine/run/simgpu SIMGPU_LIB=$build/sim
fi
start_engine
printf '$ sh tests/engine/image.sh | docker import - %s\n' "$image"
sh tests/engine/image.sh | docker import - $image >/dev/null
read -ra flags <<<"$(gpu_flags)"
part() { echo $((total * $1 / 10)); }
third=$(part 3)

say "Without a quota: the whole GPU"
run docker run --rm "${flags[@]}" $image nvidia-smi
expect "the container sees $total MiB" "/ +${total}MiB"

say "gpu-memory=0.3: three tenths of the GPU, for every program in the container"
run docker run --rm "${flags[@]}" -v runai:/runai --label gpu-memory=0.3 $image nvidia-smi
expect "the container sees $third MiB, none used" " 0MiB / +${third}MiB"

say "Beyond the quota: CUDA's ordinary out-of-memory error"
run docker run --rm "${flags[@]}" -v runai:/runai --label gpu-memory=0.3 $image gpu-alloc $((third * 6 / 10))m \
    $((third * 6 / 10))m
expect "the first allocation fits" "^allocated" 2
expect "the second is beyond the quota" "CUDA_ERROR_OUT_OF_MEMORY" 2

say "gpu-memory=3g: a size instead of a fraction"
run docker run --rm "${flags[@]}" -v runai:/runai --label gpu-memory=3g $image nvidia-smi
expect "the container sees 3072 MiB" " 0MiB / +3072MiB"

say "Two containers side by side on one GPU"
half=$(part 5)
for name in gpu-demo-left gpu-demo-right; do
    run docker run -d --name $name "${flags[@]}" -v runai:/runai --label gpu-memory=0.5 $image gpu-alloc --hold 600 \
        $((half * 6 / 10))m
done
for name in gpu-demo-left gpu-demo-right; do
    for _ in $(seq 100); do
        docker logs $name 2>&1 | grep -q . && break
        sleep 0.1
    done
    run docker logs $name
    expect "$name got what it allocated" "^allocated"
    run docker exec $name nvidia-smi --query-gpu=memory.total,memory.used --format=csv,noheader,nounits
    expect "$name sees its half, and only its own use" "^$half, [0-9]+"
    used=$(sed 's/.*, //' "$work/out")
    if [ "$used" -gt "$half" ]; then expect "$name uses at most its half" "^never"; fi
    run docker exec $name gpu-alloc $((half * 6 / 10))m
    expect "$name gets no more" "CUDA_ERROR_OUT_OF_MEMORY" 2
done
docker rm -f gpu-demo-left gpu-demo-right >/dev/null

say "Mistakes: the message says what to type instead"
run docker run --rm "${flags[@]}" --label gpu-memory=0.5 $image nvidia-smi
expect "a label without the volume is refused" "needs the runai volume: add -v runai:/runai" 125
run docker run --rm "${flags[@]}" -v runai:/runai --label gpu-memory=2 $image nvidia-smi
expect "a number without a unit is refused" "gpu-memory=2 " 125
run docker run --rm "${flags[@]}" -v runai:/runai --label gpu-memory=0 $image nvidia-smi
expect "a quota of zero is refused" "gpu-memory=0 " 125

if [ $failures -gt 0 ]; then
    say "$failures figures were wrong"
    exit 1
fi
say "Every figure is right."
