#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The main job on a real NVIDIA GPU. On a Linux host with a GPU, its driver and a Docker engine, as root, after `make
# all`:
#
#   tests/gpu/run.sh
#
# It installs the plugin that was built, checks what containers see and get, with nvidia-smi and with PyTorch, watches
# the GPU from outside all the while, and removes the plugin again. docs/measurements/main-job.md shows what it prints.
#
# What it takes from the environment stands at the top of lib.sh.
# shellcheck disable=SC2046 # quota prints several words
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/gpu/lib.sh
begin

echo "## nvidia-smi"
check "without a quota: the whole GPU" "$(run "$image" nvidia-smi --query-gpu=memory.total \
    --format=csv,noheader,nounits)" = "$total"
for row in 0.3:$((total * 3 / 10)) 0.5:$((total / 2)) 3g:3072; do
    run $(quota "${row%:*}") "$image" nvidia-smi >"$work/out"
    grep MiB "$work/out" || cat "$work/out"
    check "gpu-memory=${row%:*}: $(grep -o '[0-9]*MiB / *[0-9]*MiB' "$work/out")" \
        "$(grep -o '[0-9]*MiB / *[0-9]*MiB' "$work/out" | tr -s ' ')" = "0MiB / ${row#*:}MiB"
done

echo "## PyTorch without a quota"
run -v "$work:/check:ro" -e CUBLAS_WORKSPACE_CONFIG=:4096:8 "$image" python3 /check/torch_check.py train >"$work/free" \
    2>"$work/free.ms"
cat "$work/free" "$work/free.ms"
peak >/dev/null

for value in 0.3 6g; do
    case $value in 0.3) limit=$((total * 3 / 10)) ;; 6g) limit=6144 ;; esac
    echo "## PyTorch under gpu-memory=$value"
    run $(quota $value) -v "$work:/check:ro" "$image" python3 /check/torch_check.py limit >"$work/out" 2>&1 || true
    cat "$work/out"
    most=$(($(peak) - base))
    check "mem_get_info's total is the quota" "$(value total)" -le "$limit" -a "$(value total)" -ge $((limit - 200))
    check "at the limit: torch.OutOfMemoryError" "$(value error)" = OutOfMemoryError
    check "work goes on after it" "$(value sum_after)" = 67108864
    check "nearly all of the quota could be had" $((limit - $(value allocated))) -le 1500
    check "NVML from outside: at most $most of $limit MiB" "$most" -le "$limit"
done

echo "## The same results"
run $(quota 0.3) -v "$work:/check:ro" -e CUBLAS_WORKSPACE_CONFIG=:4096:8 "$image" python3 /check/torch_check.py train \
    >"$work/limited" 2>"$work/limited.ms"
cat "$work/limited.ms"
check "training gives the same losses to the last digit" "$(cat "$work/limited")" = "$(cat "$work/free")"

echo "## Two containers at once"
peak >/dev/null
for name in left right; do
    run -d --name $name $(quota 0.4) -v "$work:/check:ro" "$image" python3 /check/torch_check.py hold \
        $((total * 3 / 10)) 120 >/dev/null
done
for name in left right; do
    for _ in $(seq 300); do
        docker logs $name 2>/dev/null | grep -q held && break
        sleep 0.2
    done
    check "$name holds its $((total * 3 / 10)) MiB" "$(docker logs $name 2>&1)" = "held=$((total * 3 / 10))"
    docker exec $name nvidia-smi --query-gpu=memory.total,memory.used --format=csv,noheader,nounits | tee "$work/out"
    check "$name sees its own quota" "$(sed 's/,.*//' "$work/out")" = $((total * 4 / 10))
    check "$name sees its own use only" "$(sed 's/.*, //' "$work/out")" -le $((total * 4 / 10))
done
most=$(($(peak) - base))
check "NVML from outside: at most $most of $((total * 8 / 10)) MiB" "$most" -le $((total * 8 / 10))
check "both were there" "$most" -ge $((total * 6 / 10))

echo "## The status"
status() { python3 tests/gpu/status_check.py "$1" | tee "$work/out"; }
mkdir -p "$work/config/cli-plugins"
cp "$build/cli/runai-docker" "$work/config/cli-plugins/docker-runai"
for table in ps gpus 'stats --no-stream'; do
    # shellcheck disable=SC2086 # two words
    DOCKER_CONFIG=$work/config docker runai $table
done
for name in left right; do
    status $name
    check "$name is ok" "$(value state)" = ok
    check "$name: used is what the driver counts, within 2 MiB" "$(value apart)" -le 2097152
    check "$name was refused nothing" "$(value refused)" = 0
done
docker exec left python3 -c 'import torch
try: torch.empty(1 << 40, dtype=torch.uint8, device="cuda")
except torch.OutOfMemoryError: print("out of memory")' >"$work/out"
check "left asks for 1 TiB more and is out of memory" "$(cat "$work/out")" = "out of memory"
status left
check "the status says that it was refused" "$(value refused)" -gt 0
check "and what" "$(value last_refused)" = $((1 << 40))
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then # control groups of version 2
    python3 tests/gpu/deny_gpu.py "$(docker inspect --format '{{.State.Pid}}' right)"
    check "a program that begins in right now finds no GPU" \
        "$(docker exec right nvidia-smi 2>&1 | grep -c 'NVML')" -gt 0
    sleep 2.5 # readers within 2 s share a measurement
    status right
    check "the status of right is no-gpu" "$(value state)" = no-gpu
    status left
    check "that of left is ok" "$(value state)" = ok
fi

echo "## Refusals"
check "a label without the volume" "$(run --label gpu-memory=0.5 "$image" true 2>&1 | grep -c 'add -v runai:/runai')" \
    = 1
check "a size above the GPU" "$(run $(quota 9999g) "$image" true 2>&1 | grep -c 9999g)" = 1

finish
