#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Checks the simulated GPU as its users meet it: processes, namespaces, tools, the container hook. Usage: check.sh OUT
set -u
out=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
passed=0 failed=0
started=()
trap 'kill -9 ${started[@]+"${started[@]}"} 2>/dev/null; rm -rf "$work"' EXIT
export LD_LIBRARY_PATH=$out
unset CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER CUDA_MODULE_LOADING

ok() {
    echo "ok $1"
    passed=$((passed + 1))
}
not_ok() {
    echo "not ok $1: $2"
    failed=$((failed + 1))
}
same() { # name, got, wanted
    if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', wanted '$3'"; fi
}
has() { # name, text, part
    case $2 in *"$3"*) ok "$1" ;; *) not_ok "$1" "no '$3' in '$2'" ;; esac
}

# A fresh folder of devices in SIMGPU_DIR.
devices() {
    export SIMGPU_DIR=$work/gpus
    rm -rf "$SIMGPU_DIR"
    "$out/simgpu" create "$SIMGPU_DIR" "$@"
}
used() { "$out/simgpu" show "$SIMGPU_DIR" | sed -n 's/^gpu 0 .* used \([0-9]*\) peak.*/\1/p'; }
mib() { echo $(($(used) >> 20)); }

# Starts gpu-alloc in the background and waits until it holds what it was asked for; its PID is in $holder.
# The file is a new one each time: the shell empties a redirect's file after the fork, so an old one could still answer
# for a while.
hold() {
    rm -f "$work/held"
    "$out/gpu-alloc" --hold 60 "$@" >"$work/held" &
    holder=$!
    started+=("$holder")
    while [ ! -s "$work/held" ] && kill -0 "$holder" 2>/dev/null; do sleep 0.02; done
}
end() {
    kill -9 "$1"
    wait "$1" 2>/dev/null
}

# The driver within one process.
devices --reserved 100m
while read -r line; do
    echo "$line"
    case $line in "ok "*) passed=$((passed + 1)) ;; "not ok "*) failed=$((failed + 1)) ;; esac
done < <("$out/check/driver")

# Between processes.
devices
hold 6g
same 'A second process sees what the first one left' "$("$out/gpu-alloc" 1g)" \
    'allocated 1024 MiB, 3693 MiB free of 10989 MiB'
text=$("$out/gpu-alloc" 5g)
same 'A second process runs out of memory at the physical end with exit code 2' "$?" 2
same 'Running out of memory is said in the words of CUDA' "$text" \
    'cuMemAlloc(5120 MiB): out of memory (CUDA_ERROR_OUT_OF_MEMORY)'
same 'The host sees the use of both' "$(mib)" $((6144 + 64))
end "$holder"
same 'Memory comes back when a process is killed' "$(mib)" 0
same 'The highest use is remembered' "$("$out/simgpu" peak "$SIMGPU_DIR")" $(((6144 + 1024 + 64 + 64) << 20))

devices
pids=()
for _ in $(seq 12); do
    "$out/gpu-alloc" --step 16m --hold 2 20g >/dev/null &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
peak=$(($("$out/simgpu" peak "$SIMGPU_DIR") >> 20))
if [ "$peak" -gt $((10989 - 16)) ] && [ "$peak" -le 10989 ]; then
    ok 'Twelve processes that race fill the device and do not exceed it'
else
    not_ok 'Twelve processes that race fill the device and do not exceed it' "peak $peak MiB of 10989"
fi
same 'Nothing is left when they have ended' "$(used)" 0

devices
for _ in $(seq 30); do
    "$out/gpu-alloc" --step 2m --hold 5 8g >/dev/null &
    pid=$!
    sleep "0.0$((RANDOM % 10))"
    end "$pid"
done
same 'Thirty kills at random moments leave nothing' "$(used)" 0
has 'The device can be filled afterwards' "$("$out/gpu-alloc" 10900m)" 'allocated 10900 MiB'

# Namespaces.
devices
hold 1g
if [ "$(id -u)" = 0 ]; then
    inner=$(unshare --pid --fork --mount-proc bash -c '
        "$0/gpu-alloc" --hold 60 2g >"$1/inner" &
        while [ ! -s "$1/inner" ]; do sleep 0.02; done
        echo "$!"
        "$0/nvidia-smi" --query-compute-apps=pid,used_memory --format=csv,noheader
        "$0/nvidia-smi" --query-gpu=memory.used --format=csv,noheader
        "$0/simgpu" show "$SIMGPU_DIR" | grep -c process
        kill -9 $!' "$out" "$work")
    mapfile -t lines <<<"$inner"
    same 'A container sees its own processes, with its own PIDs' "${lines[1]}" "${lines[0]}, 2112 MiB"
    same 'A container does not see the processes of others' "${#lines[@]}" 4
    same 'A container sees the use of all' "${lines[2]}" '3200 MiB'
    unshare --pid --fork --mount-proc "$out/gpu-alloc" --hold 60 2g >"$work/outer" 2>/dev/null &
    outer=$!
    while [ ! -s "$work/outer" ]; do sleep 0.02; done
    child=$(tr -d " " <"/proc/$outer/task/$outer/children")
    has 'The host sees all, with its own PIDs' \
        "$("$out/nvidia-smi" --query-compute-apps=pid,used_memory --format=csv,noheader)" "$child, 2112 MiB"
    has 'simgpu shows both PIDs of a process in a container' "$("$out/simgpu" show "$SIMGPU_DIR")" \
        "process $child (1 in pid namespace"
    end "$child"
    wait "$outer" 2>/dev/null
else
    not_ok 'PID namespaces' 'these checks need root'
fi
end "$holder"

# Which devices.
devices --gpus 3
mapfile -t uuid < <("$out/nvidia-smi" --query-gpu=uuid --format=csv,noheader)
visible() { CUDA_VISIBLE_DEVICES=$1 "$out/check/driver" uuids | paste -sd' '; }
same 'All devices are visible by default' "$("$out/check/driver" uuids | paste -sd' ')" "${uuid[*]}"
same 'CUDA_VISIBLE_DEVICES selects and reorders' "$(visible 2,0)" "${uuid[2]} ${uuid[0]}"
same 'CUDA_VISIBLE_DEVICES takes UUIDs' "$(visible "${uuid[1]},${uuid[0]}")" "${uuid[1]} ${uuid[0]}"
same 'CUDA_VISIBLE_DEVICES takes the beginning of a UUID' "$(visible "${uuid[1]:0:12}")" "${uuid[1]}"
same 'What stands behind a wrong index is not visible' "$(visible 1,-1,0)" "${uuid[1]}"
same 'An empty CUDA_VISIBLE_DEVICES leaves no device' "$(visible '')" 'error 100'
same 'MIG names are refused where no GPU is divided' "$(visible MIG-GPU-1/2/3)" 'error 100'
same 'A device named twice leaves none' "$(visible 0,0)" 'error 100'
same 'CUDA and NVML agree about the order' "$(CUDA_DEVICE_ORDER=PCI_BUS_ID "$out/check/driver" uuids | paste -sd' ')" \
    "${uuid[*]}"
"$out/gpu-alloc" --device 2 --hold 60 100m >"$work/third" &
third=$!
started+=("$third")
while [ ! -s "$work/third" ]; do sleep 0.02; done
same 'Each device has memory of its own' "$("$out/nvidia-smi" --query-gpu=memory.used --format=csv,noheader,nounits |
    paste -sd' ')" '0 0 164'
rm "$SIMGPU_DIR/gpu0" "$SIMGPU_DIR/gpu1"
same 'A container that got one device has it as the first' \
    "$("$out/check/driver" uuids; "$out/nvidia-smi" --query-gpu=index,uuid --format=csv,noheader)" "${uuid[2]}
0, ${uuid[2]}"
end "$third"

# A divided GPU.
devices --mig 2
mapfile -t uuid < <("$out/simgpu" show "$SIMGPU_DIR" | sed -n 's/^gpu 0 \([^ ]*\) .*/\1/p')
same 'CUDA sees the first instance of a divided GPU and nothing else' "$("$out/check/driver" uuids)" "${uuid[1]}"
same 'CUDA_VISIBLE_DEVICES takes the UUID of an instance' "$(visible "${uuid[2]}")" "${uuid[2]}"
same 'CUDA_VISIBLE_DEVICES takes the beginning of it' "$(visible "${uuid[2]:0:12}")" "${uuid[2]}"
same 'CUDA_VISIBLE_DEVICES takes the place of an instance' "$(visible "MIG-${uuid[0]}/2/0")" "${uuid[2]}"
same 'Of two instances CUDA sees one' "$(visible "${uuid[2]},${uuid[1]}")" "${uuid[2]}"
hold 1g
has 'An instance has its own memory' "$(CUDA_VISIBLE_DEVICES=${uuid[2]} "$out/gpu-alloc" 1m)" \
    'allocated 1 MiB, 5428 MiB free of 5494 MiB'
same 'A divided GPU shows what its instances hold' \
    "$("$out/nvidia-smi" --query-gpu=memory.total,memory.used --format=csv,noheader)" '10989 MiB, 1088 MiB'
end "$holder"

# The tools.
devices --reserved 500m
table=$("$out/nvidia-smi")
has 'nvidia-smi shows the known figures' "$table" '  0MiB / 10989MiB |      0%      Default |'
has 'nvidia-smi says that nothing runs' "$table" 'No running processes found'
same 'Every line of the table has one width' \
    "$(tail -n +2 <<<"$table" | grep -v '^$' | awk '{print length}' | sort -u)" 91
has 'nvidia-smi -L names the device' "$("$out/nvidia-smi" -L)" \
    'GPU 0: NVIDIA GeForce RTX 2080 Ti (simulated) (UUID: GPU-'
hold 1g
same 'nvidia-smi answers queries' "$("$out/nvidia-smi" \
    --query-gpu=index,name,memory.total,memory.used,memory.free,memory.reserved --format=csv)" \
    'index, name, memory.total [MiB], memory.used [MiB], memory.free [MiB], memory.reserved [MiB]
0, NVIDIA GeForce RTX 2080 Ti (simulated), 10989 MiB, 1088 MiB, 9401 MiB, 500 MiB'
same 'nvidia-smi names processes' "$("$out/nvidia-smi" \
    --query-compute-apps=pid,process_name,used_memory --format=csv,noheader,nounits)" "$holder, $out/gpu-alloc, 1088"
has 'The table lists the process' "$("$out/nvidia-smi")" '1088MiB |'
end "$holder"
for way in --async --managed --vmm --pitch --pool --proc-address --direct --touch; do
    has "gpu-alloc $way works" "$("$out/gpu-alloc" $way 100m)" 'allocated 100 MiB, '
done
text=$(SIMGPU_DIR=$work/none "$out/gpu-alloc" 1m)
same 'gpu-alloc without a device fails with exit code 1' "$?" 1
has 'gpu-alloc without a device says so' "$text" 'cuInit: no CUDA-capable device is detected (CUDA_ERROR_NO_DEVICE)'
SIMGPU_DIR=$work/none "$out/nvidia-smi" >/dev/null
same 'nvidia-smi without a device fails' "$?" 9
devices --latency-ns 3000000
begin=$(date +%s%N)
"$out/gpu-alloc" --step 2m 200m >/dev/null
took=$((($(date +%s%N) - begin) / 1000000))
if [ "$took" -ge 300 ]; then
    ok 'Each allocation takes the set latency'
else
    not_ok 'Each allocation takes the set latency' "$took ms for 100"
fi
"$out/simgpu" set "$SIMGPU_DIR" --latency-ns 0 --context 100m
has 'simgpu set changes a living device' "$("$out/gpu-alloc" 1m)" '10887 MiB free'

devices --unified 1
has 'A device that shares the memory of the host reports none by NVML' "$("$out/nvidia-smi")" '         Not Supported |'
same 'A device that shares the memory of the host reports it to CUDA' "$("$out/gpu-alloc" 1m)" \
    'allocated 1 MiB, 10923 MiB free of 10989 MiB'

# What is exported, and what is asked of glibc.
rows() { sed -n 's/^[A-Z]*(\([A-Za-z0-9_]*\),\{0,1\}.*/\1/p' "$@" | sort; }
exported() { objdump -T "$1" | awk '$2 == "g" && /\.text/ {print $NF}' | sort; }
same 'libcuda exports the rows of its tables and nothing else' "$(exported "$out/libcuda.so.1" | sha256sum)" \
    "$(rows "$here"/../cuda/cuda*.def | sha256sum)"
same 'libnvidia-ml exports the rows of its tables and nothing else' "$(exported "$out/libnvidia-ml.so.1" | sha256sum)" \
    "$(rows "$here"/../nvml/nvml*.def | sha256sum)"
for file in libcuda.so.1 libnvidia-ml.so.1 nvidia-smi gpu-alloc gpu-alloc-direct; do
    newest=$(objdump -T "$out/$file" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
    same "$file needs no newer glibc than 2.17" "$(printf '%s\nGLIBC_2.17\n' "$newest" | sort -V | tail -1)" GLIBC_2.17
done

# The hook, on a root without an engine: a mount namespace, a bundle, the state on stdin.
if [ "$(id -u)" = 0 ]; then
    devices --gpus 2
    bundle=$work/bundle
    mkdir -p "$bundle/rootfs"/{bin,usr/bin,usr/lib/x86_64-linux-gnu} "$work/conf"
    cp "$out/nvidia-container-runtime-hook" "$work/conf"
    printf 'lib=%s\ndir=%s\n' "$out" "$SIMGPU_DIR" >"$work/conf/simgpu.conf"
    ask() { # what NVIDIA_VISIBLE_DEVICES says; prints what the container then has
        echo '{"process":{"env":["A=b","NVIDIA_VISIBLE_DEVICES='"$1"'"]},"root":{"path":"rootfs"}}' \
            >"$bundle/config.json"
        unshare --mount sleep 60 &
        local pid=$!
        while [ "$(readlink /proc/$pid/ns/mnt)" = "$(readlink /proc/self/ns/mnt)" ]; do sleep 0.02; done
        (unset SIMGPU_DIR &&
            echo '{"ociVersion":"1.0","id":"x","status":"created","pid":'$pid',"bundle":"'"$bundle"'"}' |
            "$work/conf/nvidia-container-runtime-hook" prestart)
        echo "rc $?"
        (cd "/proc/$pid/root$bundle/rootfs" && find . -type f -size +0 | sort) 2>/dev/null
        kill -9 $pid
        wait $pid 2>/dev/null
    }
    files='./usr/bin/gpu-alloc
./usr/bin/gpu-alloc-direct
./usr/bin/nvidia-smi
./usr/lib/x86_64-linux-gnu/libcuda.so.1
./usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1'
    same 'The hook gives a container all devices and the driver' "$(ask all)" "rc 0
./run/simgpu/gpu0
./run/simgpu/gpu1
$files"
    rm -rf "$bundle/rootfs/run"
    same 'The hook gives a container the device it asked for' "$(ask 1)" "rc 0
./run/simgpu/gpu1
$files"
    same 'The hook leaves a container without devices alone' "$(ask void)" 'rc 0'
    rm -rf "$bundle/rootfs/run"
    same 'The hook prefers a resource of swarm' "$(ask 'all","DOCKER_RESOURCE_GPU=1')" "rc 0
./run/simgpu/gpu1
$files"
    has 'The hook refuses a device that there is not' "$(ask 0,7 2>&1)" 'no simulated device 7'
    same 'Nothing is mounted on the host' "$(grep -c "$bundle" /proc/self/mounts)" 0
    rm -rf "$bundle/rootfs/run"
    ln -s "$work/gpus" "$bundle/rootfs/run"
    has 'The hook follows no link out of a container' "$(ask all 2>&1)" 'rc 1'
else
    not_ok 'The hook' 'these checks need root'
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
