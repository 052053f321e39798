#!/usr/bin/env bash
# Real programs on a real NVIDIA GPU, each in a container under the plugin, the GPU watched from outside all the while: PyTorch with its
# three allocators, CUDA graphs, its compiler, loaders and shared tensors, and its speed; JAX with its allocators; CuPy; Triton; Numba and NVIDIA's
# own bindings.
#
#   tests/gpu/programs.sh [torch|beside|speed|jax|cupy|triton|driver]...    just these; all in less than 5 minutes
#
# What it takes from the environment stands at the top of lib.sh; the image has PyTorch, and JAX, CuPy, Triton, Numba and cuda-bindings for their parts.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/gpu/lib.sh
# By the driver's process list, not by the device as a whole: a device has some MiB a process that the list does not count.
watch() { exec python3 tests/gpu/watch.py "$1"; }
begin
base=0
only=("$@")
wanted() { [ ${#only[@]} = 0 ] || [[ " ${only[*]} " == *" $1 "* ]]; }

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
    program "PyTorch, its compiler, with graphs" 6144 -- torch_programs.py compile
    check "compiled gives what the program gives without it" "$(value compiled)" = same
    check "also at the limit" "$(value at_limit)" = same
    recovers OutOfMemoryError 4096
    program "PyTorch, DataLoader with 4 workers and pinned memory" 6144 --shm-size=1g -- torch_programs.py loader
    check "every sample came once" "$(value samples)" = 4096
    equal "with the right sum" sum expected
    program "PyTorch, a 1 GiB tensor shared by 3 processes" 6144 --shm-size=1g -- torch_programs.py share
    equal "each saw it and wrote to it" sum expected
    check "it was charged once: $(value free_lost) MiB with 3 contexts" "$(value free_lost)" -le 3200
fi

if wanted beside; then
    program "PyTorch, a second process beside one that fills the GPU" 6144 -- torch_programs.py beside
    check "it is out of memory" "$(value beside)" = "out of memory"
    recovers OutOfMemoryError 4864
    check "and starts once there is room" "$(value beside_after)" = 1048576
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
    for allocator in platform cuda_async; do
        program "JAX, allocator $allocator" 8192 -e XLA_PYTHON_CLIENT_ALLOCATOR=$allocator -- jax_programs.py
        recovers RESOURCE_EXHAUSTED 4096
    done
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

if wanted driver; then
    program "Numba" 6144 -- driver_programs.py numba
    recovers OUT_OF_MEMORY 4864
    program "NVIDIA's cuda-bindings" 6144 -- driver_programs.py bindings
    recovers OUT_OF_MEMORY 4864
fi

finish
