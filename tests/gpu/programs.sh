#!/usr/bin/env bash
# Real programs on a real NVIDIA GPU, each in a container under the plugin, the GPU watched from outside all the while: PyTorch with its
# three allocators, CUDA graphs, loaders and shared tensors, and its speed; JAX; CuPy; Triton.
#
#   tests/gpu/programs.sh [torch|speed|jax|cupy|triton]...    just these; all in less than 5 minutes
#
# What it takes from the environment stands at the top of lib.sh; the image has PyTorch, and JAX, CuPy and Triton for their parts.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/gpu/lib.sh
# By the driver's process list, not by the device as a whole: a device has some MiB a process that the list does not count.
watch=(python3 tests/gpu/watch.py)
begin
base=0
only=("$@")
wanted() { [ ${#only[@]} = 0 ] || [[ " ${only[*]} " == *" $1 "* ]]; }

# program TITLE LIMIT_MIB DOCKER_FLAG... -- FILE ARGUMENT...: runs the Python program under that quota; its lines are in $work/out.
program() {
    local title=$1 limit=$2 given=() code=0 most
    shift 2
    while [ "$1" != -- ]; do given+=("$1") && shift; done
    shift
    printf '## %s, gpu-memory=%sm\n' "$title" "$limit"
    peak >/dev/null
    timeout 100 docker run --rm --label gpu-test "${flags[@]}" $(quota "${limit}m") -v "$work:/check:ro" -e HOME=/tmp "${given[@]}" "$image" \
        python3 "/check/$1" "${@:2}" >"$work/out" 2>"$work/err" || code=$?
    most=$(peak)
    most=$((${most:-0} - base))
    cat "$work/out"
    [ $code = 0 ] || tail -n 15 "$work/err"
    check "it ends well" $code = 0
    check "NVML from outside: at most $most of $limit MiB" "$most" -le "$limit" -a "$most" -gt 100
}

# What every program that fills the GPU has to show: the exception is its own kind's, and work goes on.
recovers() { # EXCEPTION LEAST_MIB
    check "at the limit: $1" "$(value error)" = "$1"
    check "at least $2 MiB of the quota could be had" "$(value allocated)" -ge "$2"
    check "work goes on after it" "$(value sum_after)" = 67108864
}

equal() { check "$1" -n "$(value "$2")" -a "$(value "$2")" = "$(value "$3")"; } # WHAT KEY KEY

if wanted torch; then
    for allocator in native expandable_segments:True backend:cudaMallocAsync; do
        given=(-e "PYTORCH_CUDA_ALLOC_CONF=$allocator")
        [ $allocator != native ] || given=()
        program "PyTorch, allocator $allocator" 6144 "${given[@]}" -- torch_programs.py fill
        recovers OutOfMemoryError 4864
    done
    for allocator in native backend:cudaMallocAsync; do
        given=(-e "PYTORCH_CUDA_ALLOC_CONF=$allocator")
        [ $allocator != native ] || given=()
        program "PyTorch, CUDA graphs, allocator $allocator" 6144 "${given[@]}" -- torch_programs.py graphs
        check "a graph that allocates gives what the program gives without it" "$(value graph)" = same
        equal "graphed callables train to the same loss" graphed_loss eager_loss
        check "out of memory in a capture is one" "$(value capture_error)" = OutOfMemoryError
        check "and a graph can be captured after it" "$(value capture_after)" = same
    done
    program "PyTorch, DataLoader with 4 workers and pinned memory" 6144 --shm-size=1g -- torch_programs.py loader
    check "every sample came once" "$(value samples)" = 4096
    equal "with the right sum" sum expected
    program "PyTorch, a 1 GiB tensor shared by 3 processes" 6144 --shm-size=1g -- torch_programs.py share
    equal "each saw it and wrote to it" sum expected
    check "it was charged once: $(value free_lost) MiB with 3 contexts" "$(value free_lost)" -le 3200
fi

if wanted speed; then
    # In turn, and each first as often as second, so that what changes with time changes both.
    echo "## PyTorch, training: without and with a quota, in turn"
    : >"$work/native.us" && : >"$work/limited.us"
    train() { # NAME FLAGS...
        local name=$1
        shift
        run "$@" -v "$work:/check:ro" -e HOME=/tmp -e CUBLAS_WORKSPACE_CONFIG=:4096:8 "$image" python3 /check/torch_programs.py train >"$work/out" 2>"$work/err" || tail -n 5 "$work/err"
        value step_us >>"$work/$name.us"
        grep loss "$work/out" >"$work/$name.loss" || true
    }
    for _ in 1 2; do
        train native
        train limited $(quota 0.3)
        train limited $(quota 0.3)
        train native
    done
    best() { sort -g "$1" | head -n 1; }
    echo "us a step, each run: without $(tr '\n' ' ' <"$work/native.us"), with $(tr '\n' ' ' <"$work/limited.us")"
    speed=$(awk -v n="$(best "$work/native.us")" -v s="$(best "$work/limited.us")" 'BEGIN { printf "%d", s ? 1000 * n / s : 0 }')
    check "speed with a quota: $speed thousandths of that without" "$speed" -ge 980
    check "the losses are the same to the last digit: $(tail -n 1 "$work/limited.loss")" "$(cat "$work/native.loss")" = "$(cat "$work/limited.loss")" -a -s "$work/native.loss"
fi

if wanted jax; then
    program "JAX, with preallocation" 8192 -- jax_programs.py
    check "it preallocated its usual share of the quota: $(value pool) MiB" "$(value pool)" -ge 5000 -a "$(value pool)" -le 6144
    recovers RESOURCE_EXHAUSTED 4096
    program "JAX, without preallocation, all of what it sees" 8192 -e XLA_PYTHON_CLIENT_PREALLOCATE=false -e XLA_PYTHON_CLIENT_MEM_FRACTION=.99 -- jax_programs.py
    recovers RESOURCE_EXHAUSTED 4096
fi

if wanted cupy; then
    program "CuPy, its pool" 6144 -- cupy_programs.py default
    recovers OutOfMemoryError 4864
    program "CuPy, the driver's pool" 6144 -- cupy_programs.py async
    recovers OutOfMemoryError 4864
fi

if wanted triton; then
    program "Triton" 6144 -e TRITON_CACHE_DIR=/tmp/triton -- triton_programs.py
    check "the kernel's result is right" "$(value result)" = same
    check "launched from what another process compiled as well" "$(value again)" = same
fi

finish
