#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What takes two real NVIDIA GPUs, 0 and 1 of the machine, both watched from outside all the while: the quota of each
# and its view, the order and the choice of GPUs, two containers that share both, many processes, PyTorch's copies from
# one to the other, and training on both (DDP over NCCL).
#
#   tests/gpu/pair.sh [views|order|second|share|race|fill|copies|handed|ddp]...  just these; all in less than 5 minutes
#
# What it takes from the environment stands at the top of lib.sh, but:
#
#   GPU_FLAGS    what gives a container both GPUs (default --gpus "device=0,1")
#   SECOND_FLAGS what gives a container the second alone (default --gpus device=1)
#
# The first five need no PyTorch, and run on simulated GPUs as well.
# shellcheck disable=SC2046 # quota prints several words
set -euo pipefail
cd "$(dirname "$0")/../.."
GPU_FLAGS=${GPU_FLAGS:---gpus '"device=0,1"'}
. tests/gpu/lib.sh
read -ra second <<<"${SECOND_FLAGS:---gpus device=1}"
gpus=(0 1)
# The most that one container has by the driver's process list, not what the device as a whole has.
watch() { exec python3 tests/gpu/watch.py "$1"; }
cp "$build/sim/gpu-alloc" "$work/"
begin
base=0
uuids=("$(smi uuid 0)" "$(smi uuid 1)")
only=("$@")
wanted() { [ ${#only[@]} = 0 ] || [[ " ${only[*]} " == *" $1 "* ]]; }
echo "# GPU 0: $(smi name,memory.total 0) MiB, GPU 1: $(smi name,memory.total 1) MiB"

# limit VALUE GPU: what that quota is there, in MiB.
limit() {
    case $1 in
    *g) echo $((${1%g} * 1024)) ;;
    *) echo $(($(smi memory.total "$2") * ${1#0.} / 10)) ;;
    esac
}

# start NAME FLAG... -- COMMAND: a container in the background, with that shell command.
start() {
    local name=$1 given=()
    shift
    while [ "$1" != -- ]; do given+=("$1") && shift; done
    docker run -d --name "$name" --label gpu-test -v "$work:/check:ro" "${given[@]}" "$image" sh -c "$2" >/dev/null
}

# said NAME WHAT LINES: waits until programs of the container have said that, so many times.
said() {
    for _ in $(seq 300); do
        [ "$(docker logs "$1" 2>&1 | grep -c "$2")" -ge "$3" ] && return
        sleep 0.1
    done
    docker logs "$1"
}

# refused WHAT CONTAINER COMMAND...: it ends with out of memory; given: well.
ends() {
    local code=0
    docker exec "$3" "${@:4}" >"$work/out" 2>&1 || code=$?
    check "$2: $(tail -n 1 "$work/out")" $code = "$1"
}
refused() { ends 2 "$@"; }
given() { ends 0 "$@"; }

# used CONTAINER: what nvidia-smi in it says is in use, `UUID MIB`, by line.
used() { docker exec "$1" nvidia-smi --query-gpu=uuid,memory.used --format=csv,noheader,nounits | tr -d ,; }

if wanted views; then
    echo "## nvidia-smi"
    for value in 0.3 0.5 6g; do
        run $(quota $value) "$image" nvidia-smi --query-gpu=uuid,memory.total,memory.used \
            --format=csv,noheader,nounits >"$work/out"
        for gpu in 0 1; do
            check "gpu-memory=$value, GPU $gpu: $(limit $value $gpu) MiB, 0 used" \
                "$(sed -n $((gpu + 1))p "$work/out")" = "${uuids[gpu]}, $(limit $value $gpu), 0"
        done
        check "and no more GPUs" "$(wc -l <"$work/out")" = 2
    done
fi

if wanted order; then
    for visible in 1,0 "${uuids[1]},${uuids[0]}" "${uuids[1]}"; do
        named=$(sed "s/${uuids[0]}/(UUID of 0)/; s/${uuids[1]}/(UUID of 1)/" <<<"$visible")
        echo "## CUDA_VISIBLE_DEVICES=$named, gpu-memory=6g: 4 GiB of its first"
        forget
        start order "${flags[@]}" $(quota 6g) -e CUDA_VISIBLE_DEVICES="$visible" -- '/check/gpu-alloc --hold 100 4g'
        said order allocated 1
        seen=("$(peak 0)" "$(peak 1)")
        check "NVML from outside: ${seen[0]} MiB of GPU 0" "${seen[0]}" = 0
        check "and ${seen[1]} MiB of GPU 1" "${seen[1]}" -ge 4096 -a "${seen[1]}" -le 6144
        used order >"$work/used"
        check "nvidia-smi inside: 0 MiB of GPU 0" "$(sed -n "s/^${uuids[0]} //p" "$work/used")" = 0
        check "and $(sed -n "s/^${uuids[1]} //p" "$work/used") MiB of GPU 1" \
            "$(sed -n "s/^${uuids[1]} //p" "$work/used")" -ge 4096
        refused "3 GiB more of the program's first" order /check/gpu-alloc 3g
        refused "the same by its number on the machine" order env -u CUDA_VISIBLE_DEVICES /check/gpu-alloc --device 1 3g
        given "5 GiB of the machine's first" order env -u CUDA_VISIBLE_DEVICES /check/gpu-alloc --hold 1 --device 0 5g
        case $visible in *,*) given "and of the program's second" order /check/gpu-alloc --hold 1 --device 1 5g ;; esac
        docker rm -f order >/dev/null
        for gpu in 0 1; do
            most=$(peak $gpu)
            check "NVML from outside, GPU $gpu: at most $most of 6144 MiB" "$most" -le 6144
        done
    done
fi

if wanted second; then
    for value in 0.3 6g; do
        echo "## A container that has the second GPU only, gpu-memory=$value"
        limit=$(limit $value 1)
        forget
        start second "${second[@]}" $(quota $value) -- "/check/gpu-alloc --hold 100 $((limit * 7 / 10))m"
        said second allocated 1
        check "nvidia-smi shows the one, with $limit MiB" \
            "$(docker exec second nvidia-smi --query-gpu=uuid,memory.total --format=csv,noheader,nounits)" \
            = "${uuids[1]}, $limit"
        refused "$((limit * 4 / 10)) MiB more" second /check/gpu-alloc $((limit * 4 / 10))m
        docker rm -f second >/dev/null
        most=$(peak 1)
        check "NVML from outside: $most of $limit MiB" "$most" -le "$limit" -a "$most" -ge $((limit * 7 / 10))
        check "and none of GPU 0" "$(peak 0)" = 0
    done
fi

if wanted share; then
    echo "## Two containers, each with 0.5 of both GPUs and filling it"
    forget
    for name in left right; do
        fill=
        for gpu in 0 1; do
            fill+="/check/gpu-alloc --device $gpu --hold 100 --step 256m $(smi memory.total $gpu)m & "
        done
        start $name "${flags[@]}" $(quota 0.5) -- "$fill wait"
    done
    for name in left right; do
        said $name OUT_OF_MEMORY 2
        docker logs $name >"$work/out" 2>&1
        check "$name was refused in the end, on both" "$(grep -c OUT_OF_MEMORY "$work/out")" = 2
        for gpu in 0 1; do
            check "$name has its half of GPU $gpu" "$(used $name | sed -n "s/^${uuids[gpu]} //p")" \
                -ge $(($(limit 0.5 $gpu) - 1500))
        done
        grep allocated "$work/out"
    done
    docker rm -f left right >/dev/null
    for gpu in 0 1; do
        most=$(peak $gpu)
        check "NVML from outside, GPU $gpu: one had at most $most of $(limit 0.5 $gpu) MiB" "$most" \
            -le "$(limit 0.5 $gpu)"
    done
fi

if wanted race; then
    echo "## 16 processes on each GPU race to its limit, gpu-memory=0.3"
    forget
    race=
    for gpu in 0 1; do
        for _ in $(seq 16); do
            race+="/check/gpu-alloc --device $gpu --hold 100 --step 64m $(smi memory.total $gpu)m & "
        done
    done
    start race "${flags[@]}" $(quota 0.3) -- "$race wait"
    said race OUT_OF_MEMORY 32
    check "all were refused in the end" "$(docker logs race 2>&1 | grep -c OUT_OF_MEMORY)" = 32
    used race >"$work/used"
    docker rm -f race >/dev/null
    for gpu in 0 1; do
        limit=$(limit 0.3 $gpu)
        inside=$(sed -n "s/^${uuids[gpu]} //p" "$work/used")
        check "when GPU $gpu was full: $inside of $limit MiB" "$inside" -ge $((limit - 700))
        most=$(peak $gpu)
        check "NVML from outside, GPU $gpu: at most $most of $limit MiB" "$most" -le "$limit"
    done
fi

if wanted fill; then
    program "PyTorch fills one GPU, then the other" 6144 -- pair_programs.py fill
    for gpu in 0 1; do
        check "GPU $gpu at its limit: OutOfMemoryError" "$(value error$gpu)" = OutOfMemoryError
        check "at least 4864 MiB of its quota could be had" "$(value allocated$gpu)" -ge 4864
    done
    check "what one took did not lessen the other's" "$(value lost)" -le 64
    check "work goes on after it, on both" "$(value sum_after)" = $((2 * 67108864))
fi

if wanted copies; then
    run -v "$work:/check:ro" -e HOME=/tmp "$image" python3 /check/pair_programs.py rate >"$work/out" 2>"$work/err" ||
        tail -n 5 "$work/err"
    echo "without a quota: $(value gb_s) GB/s from GPU 0 to GPU 1"
    for allocator in native expandable_segments:True backend:cudaMallocAsync; do
        allocated=(-e "PYTORCH_CUDA_ALLOC_CONF=$allocator")
        [ $allocator != native ] || allocated=()
        program "PyTorch copies from GPU to GPU, allocator $allocator" 6144 "${allocated[@]}" -- pair_programs.py copies
        check "there" "$(value there)" = same
        check "and back" "$(value back)" = same
        check "to a GPU at its limit: OutOfMemoryError" "$(value copy_error)" = OutOfMemoryError
        check "and there again once it has room" "$(value after)" = same
    done
fi

if wanted handed; then
    program "PyTorch, 1 GiB of GPU 0 handed to a process that works on GPU 1" 6144 --shm-size=1g -- pair_programs.py \
        handed
    equal "it saw it, copied it to its GPU and wrote to it" sum expected
    check "it was charged once: $(value free_lost) MiB of GPU 0 with the context" "$(value free_lost)" -le 1900
fi

if wanted ddp; then
    program "PyTorch, two ranks, each at the limit of its GPU" 6144 --shm-size=1g -- pair_programs.py ranks
    for gpu in 0 1; do
        check "rank $gpu at its limit: OutOfMemoryError" "$(value error$gpu)" = OutOfMemoryError
        check "at least 3840 MiB of its quota could be had beside NCCL's" "$(value allocated$gpu)" -ge 3840
        check "the two went on to sum up at the limit, and after it" "$(value there$gpu) $(value after$gpu)" \
            = "6 $((2 * 67108864))"
    done
    train() { # NAME FLAGS...
        local name=$1
        shift
        run "$@" --shm-size=1g -v "$work:/check:ro" -e HOME=/tmp -e CUBLAS_WORKSPACE_CONFIG=:4096:8 "$image" \
            timeout -k 5 90 python3 /check/pair_programs.py ddp >"$work/out" 2>"$work/err" || tail -n 15 "$work/err"
        value step_us >>"$work/$name.us"
        grep loss "$work/out" >"$work/$name.loss" || true
    }
    program "PyTorch, DDP over NCCL, a process a GPU" 6144 --shm-size=1g -e CUBLAS_WORKSPACE_CONFIG=:4096:8 -- \
        pair_programs.py ddp
    echo "## The same, without and with a quota, in turn"
    : >"$work/native.us" && : >"$work/limited.us"
    for _ in 1 2; do
        train native
        train limited $(quota 6g)
        train limited $(quota 6g)
        train native
    done
    echo "us a step, each run: without $(tr '\n' ' ' <"$work/native.us"), with $(tr '\n' ' ' <"$work/limited.us")"
    check "the losses of both ranks are the same to the last digit: $(tail -n 1 "$work/limited.loss")" \
        "$(cat "$work/native.loss")" = "$(cat "$work/limited.loss")" -a -s "$work/native.loss"
fi

finish
