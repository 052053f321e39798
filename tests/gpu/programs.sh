#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Real programs on a real NVIDIA GPU, each in a container under the plugin, the GPU watched from outside all the while:
# PyTorch with its three allocators, CUDA graphs, its compiler, loaders and shared tensors, and its speed; JAX with its
# allocators; CuPy; Triton; Numba and NVIDIA's own bindings; the driver's pools, of managed memory too; what takes
# memory beside the allocation calls.
#
#   tests/gpu/programs.sh [torch|beside|speed|jax|cupy|triton|driver|pools|growth]...
#       just these; all but pools in less than 5 minutes
#
# What it takes from the environment stands at the top of lib.sh; the image has PyTorch, and JAX, CuPy, Triton, Numba
# and cuda-bindings for their parts.
# shellcheck disable=SC2046 # quota prints several words
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/gpu/lib.sh
# By the driver's process list, not by the device as a whole: a device has some MiB a process that the list does not
# count.
watch() { exec python3 tests/gpu/watch.py "$1"; }
begin
idle=$base base=0
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
        run "$@" -v "$work:/check:ro" -e HOME=/tmp -e CUBLAS_WORKSPACE_CONFIG=:4096:8 "$image" \
            python3 /check/torch_programs.py train >"$work/out" 2>"$work/err" || tail -n 5 "$work/err"
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
    speed=$(awk -v n="$(best "$work/native.us")" -v s="$(best "$work/limited.us")" \
        'BEGIN { printf "%d", s ? 1000 * n / s : 0 }')
    check "speed with a quota: $speed thousandths of that without" "$speed" -ge 980
    check "the losses are the same to the last digit: $(tail -n 1 "$work/limited.loss")" "$(cat "$work/native.loss")" \
        = "$(cat "$work/limited.loss")" -a -s "$work/native.loss"
fi

if wanted jax; then
    program "JAX, with preallocation" 8192 -- jax_programs.py
    check "it preallocated its usual share of the quota: $(value pool) MiB" "$(value pool)" -ge 5000 \
        -a "$(value pool)" -le 6144
    recovers RESOURCE_EXHAUSTED 4096
    program "JAX, without preallocation, all of what it sees" 8192 -e XLA_PYTHON_CLIENT_PREALLOCATE=false \
        -e XLA_PYTHON_CLIENT_MEM_FRACTION=.99 -- jax_programs.py
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

if wanted pools; then
    has() { check "$1: $3" -n "$(sed -n "s/^$2=\($3\)\( .*\|\)$/\1/p" "$work/out")"; } # WHAT KEY BEGIN_OF_VALUE
    # Of a pool of managed memory the list counts nothing: so the device as a whole is watched too.
    pools() { # PART TITLE
        local whole=$work/whole other most
        smi memory.used >"$whole"
        nvidia-smi --id=0 --query-gpu=memory.used --format=csv,noheader,nounits --loop-ms=20 >>"$whole" &
        other=$!
        program "$2" 6144 -- pool_programs.py "$1" 6144
        kill "$other" || true
        wait "$other" 2>/dev/null || true
        most=$(($(sort -n "$whole" | tail -n 1) - idle))
        check "the GPU as a whole, less what was in use before: at most $most of 6144 MiB" "$most" -le 6144
        check "to its end" "$(value ended)" = well
    }
    pools many "Pools, as many as can be had"
    has "another one" create "OUT_OF_MEMORY pools=63"
    for key in filled linear default_pool filled_again; do has "to the end, $key" $key OUT_OF_MEMORY; done
    check "what was written is there" "$(value whole)$(value whole_again)" = TrueTrue
    pools replaced "Pools destroyed, and new ones"
    has "new pools have the places" new_pools "OUT_OF_MEMORY pools=43"
    has "filled again" filled_again OUT_OF_MEMORY
    check "what was written is there" "$(value whole)" = True
    has "after 300 more nearly all of the quota can be had" nearly_all CUDA_SUCCESS
    pools managed "Pools of managed memory"
    check "nothing went wrong" -z "$(grep ^wrong "$work/out")"
    check "there are such pools" -n "$(grep '^pool\..*=CUDA_SUCCESS' "$work/out")"
    while IFS='=' read -r kind code; do
        [ "$code" = CUDA_SUCCESS ] || { echo "the driver has none: $kind: $code" && continue; }
        kind=${kind#pool.}
        has "$kind" "filled.$kind" OUT_OF_MEMORY
        for key in linear own_pool linear_after_free; do has "$kind, $key" "$key.$kind" OUT_OF_MEMORY; done
        has "$kind, what it held can be had of it again" "taken_again.$kind" "CUDA_SUCCESS CUDA_SUCCESS"
        [[ $kind != made* ]] || has "$kind, destroyed" "linear_after_destruction.$kind" CUDA_SUCCESS
    done < <(grep '^pool\.' "$work/out")
    has "after all" linear_after_all CUDA_SUCCESS
    pools graphs "Graphs that allocate"
    for place in 1 0 2; do
        if [ "$(value node.managed,$place)" = CUDA_SUCCESS ]; then
            has "a node of managed memory, place $place" "instantiated.managed,$place" NOT_SUPPORTED
        else
            echo "the driver makes no such node, place $place: $(value node.managed,$place)"
        fi
    done
    for kind in captured pinned; do
        has "$kind" "launched.$kind" CUDA_SUCCESS
        has "$kind, beyond the quota" "launched.$kind,too_large" OUT_OF_MEMORY
    done
    has "nearly all of the quota can be had when it is trimmed" nearly_all CUDA_SUCCESS
fi

if wanted growth; then
    is() { check "$1: $3" "$(value "$2")" = "$3"; } # WHAT KEY VALUE
    program "Captures, graphs, modules, local memory, streams" 6144 -- growth_programs.py 6144
    for part in captures graphs modules local streams; do is "$part, to the end" ended.$part 0; done
    for key in first warm asked refused; do is "a capture stays whole, $key" capture.$key ok; done
    is "an allocation in it is refused" capture.refusal OUT_OF_MEMORY
    is "a graph of 5000 nodes beyond the quota" graph.5000_nodes OUT_OF_MEMORY
    is "one that fits" graph.5000_nodes_that_fit ok
    [ "$(value graph.within)" != ok ] || is "a graph within six" graph.within_six OUT_OF_MEMORY
    is "16 GB of a graph, 8 MiB at a time" graph.one_after_another ok
    is "a graph that needs it together" graph.together OUT_OF_MEMORY
    for kind in ptx cubin; do
        is "a module, $kind" module.$kind OUT_OF_MEMORY
        for key in launched function global; do is "a library, $kind, $key" library.${kind}_$key OUT_OF_MEMORY; done
        is "a module that fits, $kind" module.${kind}_that_fits ok
        is "a library that fits, $kind" library.${kind}_that_fits ok
    done
    for key in launch launch_ex cooperative library graph; do
        is "local memory beyond the quota, $key" local.$key OUT_OF_MEMORY
    done
    for key in that_fits others; do is "local memory, $key" local.$key ok; done
    is "streams to the end" streams OUT_OF_MEMORY
    check "as many as fit: $(value streams.made)" "$(value streams.made)" -ge 1000
    is "destroyed and made again" streams.again ok
fi

finish
