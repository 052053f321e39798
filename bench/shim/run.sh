#!/usr/bin/env bash
# What the shim costs and whether it is exact: one Markdown table, native and shim measured in turn in one run.
#
#   bench/shim/run.sh [sim|gpu]      on the simulated GPU (default) or on the one of this machine
#
# After `make shim sim`. On the simulated driver a call takes next to no time, so that a ratio says nothing there: only absolute
# targets are judged, and with valgrind there are counts of instructions. On a real GPU nothing else may use it meanwhile.
#
#   BUILD    what was built (default build/ of the checkout)
#   ROUNDS   native and shim in turn so many times (default 5 on a GPU, 3 else)
#   SECONDS_OF_RACE  how long processes race at the limit at most (default 40 on a GPU, 15 else)
set -euo pipefail
cd "$(dirname "$0")/../.."
driver=${1:-sim}
build=${BUILD:-$PWD/build}
bench=$build/bench/shim-bench
work=$(mktemp -d /tmp/shim-bench.XXXXXX)
shim=$work/librunai.so
keeper=
cleanup() {
    [ -z "$keeper" ] || kill "$keeper" 2>/dev/null || true
    umount "$work/usage" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
# A GPU host need not have make: then shim-bench was built elsewhere.
! command -v make >/dev/null || make --no-print-directory -s -C bench/shim BUILD="$build" all

case $driver in
sim)
    rounds=${ROUNDS:-3} starts=5 programs=300 race=${SECONDS_OF_RACE:-15}
    export SIMGPU_DIR=$work/gpus LD_LIBRARY_PATH=$build/sim
    "$build/sim/simgpu" create "$SIMGPU_DIR" >/dev/null
    where="a simulated GPU"
    ;;
gpu)
    rounds=${ROUNDS:-5} starts=15 programs=2000 race=${SECONDS_OF_RACE:-40}
    where=$(nvidia-smi --id=0 --query-gpu=name,driver_version,memory.total --format=csv,noheader | sed 's/, /, driver /;s/, \([0-9]* MiB\)/, \1/')
    ;;
*) sed -n '2,/^set/p' "$0" | sed 's/^# \{0,1\}//;$d' >&2 && exit 2 ;;
esac

# The private directory, as the plugin makes it.
mkdir -m 1777 "$work/usage"
mount -t tmpfs -o size=64k,mode=1777,nosuid,nodev,noexec tmpfs "$work/usage" 2>/dev/null || true
cp "$build/shim/librunai.so" "$shim"
chmod 755 "$work"
quota() {
    printf 'version=1\ncontainer=%064d\nlimit=%s\n' 7 "$1" >"$work/quota.new"
    mv "$work/quota.new" "$work/quota"
    rm -f "$work/usage/ledger"
}
quota 0.9

# measure COMMAND...: shim-bench native and with the shim, appended to what was measured. LIBRARY stands for the library.
measure() {
    local who turn=(native shim)
    [ $((++measured % 2)) = 1 ] || turn=(shim native)
    for who in "${turn[@]}"; do
        if [ $who = native ]; then
            "$bench" "${@/LIBRARY/-}"
        elif [[ " $* " == *" LIBRARY "* ]]; then
            "$bench" "${@/LIBRARY/$shim}"
        else
            LD_PRELOAD=$shim "$bench" "$@"
        fi >>"$work/$who"
    done
}
# figure FILE KEY: of calls that of the least disturbed round (the cores of a shared machine differ by 40% for seconds, and
# then calls that no shim touches take as much longer); of starts and programs the median.
figure() {
    awk -F '\t' -v key="$2" '$1 == key { print $2 }' "$work/$1" | sort -g | awk -v key="$2" '{ v[NR] = $1 } END {
        if (NR) print key !~ /^(start|true)_/ ? v[1] : NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
measured=0
touch "$work/native" "$work/shim"
if [ "$driver" = gpu ]; then
    nvidia-smi --loop-ms=1000 --id=0 --query-gpu=memory.used --format=csv >/dev/null & # keeps the driver initialised
    keeper=$!
fi
for _ in $(seq "$rounds"); do measure figures; done
for _ in $(seq "$starts"); do measure start LIBRARY 1; done
for _ in $(seq "$rounds"); do measure start LIBRARY 8; done
for _ in 1 2 3; do measure start LIBRARY 64; done
"$bench" spawn "$shim" "$programs" >"$work/true"
"$bench" rest "$shim" >"$work/rest"
context=$(awk -F '\t' '$2 == "context" { print int($3) }' "$work/rest")
limit=$((64 * context + 1024))
quota ${limit}m
[ "$driver" != sim ] || "$build/sim/simgpu" set "$SIMGPU_DIR" --peak 0 >/dev/null
"$bench" overshoot "$shim" $((limit << 20)) 64 100 "$race" >"$work/race"
[ "$driver" != sim ] || peak=$("$build/sim/simgpu" peak "$SIMGPU_DIR" | head -n 1)

echo "Shim against native: $where, $(date -u +%F), kernel $(uname -r), $(nproc) processors; of calls the best round, of starts the median."
echo
echo '| what | native | shim | ratio | target | |'
echo '| --- | --- | --- | --- | --- | --- |'
missed=0
# row WHAT KEY [TARGET [KIND]]: KIND ratio, or added (of TARGET nanoseconds).
row() {
    local native shimmed
    native=$(figure native "$2") shimmed=$(figure shim "$2")
    verdict=$(awk -v what="$1" -v n="$native" -v s="$shimmed" -v target="${3:-}" -v kind="${4:-ratio}" -v driver="$driver" '
        function show(ns) { return ns >= 1e6 ? sprintf("%.2f ms", ns / 1e6) : ns >= 1e3 ? sprintf("%.2f us", ns / 1e3) : sprintf("%.1f ns", ns) }
        BEGIN {
            ok = ""
            if (target != "" && kind == "ratio") {
                text = "<= " target
                # 1.00 is reached by what rounds to it
                if (driver == "gpu") ok = sprintf("%.2f", s / n) + 0 <= target + 0 ? "ok" : "MISS"
            } else if (target != "") {
                text = "+" show(target)
                ok = s - n <= target ? "ok" : "MISS"
                if (s > n) added = " (+" show(s - n) ")"
            }
            printf "| %s | %s | %s%s | %.2f | %s | %s |\n", what, show(n), show(s), added, s / n, text, ok
        }')
    echo "$verdict"
    [[ $verdict != *MISS* ]] || missed=$((missed + 1))
}
row 'cuMemAlloc + cuMemFree, 512 B' alloc_512
row '64 KiB' alloc_64k
row '1 MiB' alloc_1m 1.03
row '16 MiB' alloc_16m
row '256 MiB' alloc_256m
row 'cuMemAlloc 512 B, 20,000 live' live_20000_alloc
row 'cuMemFree of the oldest' live_20000_free
row 'cuMemAlloc 512 B, 60,000 live' live_60000_alloc 1.15
row 'cuMemFree of the oldest' live_60000_free 1.15
row 'cuMemAllocAsync + cuMemFreeAsync, 1 MiB, warm pool' async_1m 1.30
row 'VMM: create, map, set access, unmap, release, 2 MiB' vmm_2m
row 'cuMemGetInfo' get_info 1.10
row 'cuLaunchKernel, empty kernel' launch 1.00
row 'cuMemAlloc + cuMemFree, 1 MiB, 1 thread' threads_1
row '8 threads at once, a call' threads_8
row '64 threads at once, a call' threads_64
row 'cuInit + first context' start_1 10000000 added
row '8 processes at once, each' start_8
row '64 processes at once, each' start_64 1.00
sed -n 's/^true_native/true/p' "$work/true" >>"$work/native"
sed -n 's/^true_shim/true/p' "$work/true" >>"$work/shim"
row '/bin/true' true 300000 added

# exact WHAT VALUE TARGET ALLOWED: figures that have no native side.
exact() {
    local ok=ok
    awk -v v="$2" -v most="$4" 'BEGIN { exit !(v <= most) }' || { ok=MISS && missed=$((missed + 1)); }
    printf '| %s | | %s | | %s | %s |\n' "$1" "$2" "$3" "$ok"
}
race() { awk -F '\t' -v key="overshoot_$1" '$1 == key { print $2 }' "$work/race"; }
above() { echo $(($1 > limit << 20 ? $1 - (limit << 20) : 0)); }
# A race that nobody ran, or nobody watched, shows nothing.
if [ "$(race rounds)" = 0 ] || [ "$(race samples)" = 0 ]; then
    echo "| 64 processes racing at $limit MiB | | not one round in $race s | | 0 | MISS |"
    missed=$((missed + 1))
fi
exact "64 processes racing at $limit MiB: bytes above it, process list" "$(above "$(race list)")" 0 0
exact 'the same, device memory' "$(above "$(race device)")" 0 0
[ "$driver" != sim ] || exact 'the same, the highest use ever' "$(above "$peak")" 0 0
exact 'at rest, reported by NVML minus driver, at most, MiB' "$(awk -F '\t' '$2 != "managed" { d = $4 - $3; d = d < 0 ? -d : d; if (d > most) most = d } END { print most + 0 }' "$work/rest")" '2 MiB' 2
exact 'the same by CUDA' "$(awk -F '\t' '$2 != "managed" { d = $5 - $3; d = d < 0 ? -d : d; if (d > most) most = d } END { print most + 0 }' "$work/rest")" '2 MiB' 2
echo
echo "The race: $(race rounds) rounds, $(race had) allocations had, $(race refused) refused, $(race samples) samples of the driver's count, at most $(($(race list) >> 20)) MiB."
echo
echo '| at rest, after | driver, MiB | NVML, MiB | CUDA, MiB |'
echo '| --- | --- | --- | --- |'
awk -F '\t' '{ printf "| %s | %s | %s | %s |\n", $2, $3, $4, $5 }' "$work/rest"

if [ "$driver" = sim ] && command -v valgrind >/dev/null; then
    quota 0.9
    # instructions FILE PRELOAD: those of 200 calls of each kind.
    instructions() {
        LD_PRELOAD=$2 valgrind --tool=callgrind --toggle-collect='calls_*' --callgrind-out-file="$work/$1.callgrind" \
            "$bench" count 200 >"$work/valgrind" 2>&1 || { cat "$work/valgrind" >&2 && return 1; }
        callgrind_annotate --auto=no --inclusive=yes --threshold=100 "$work/$1.callgrind" | sed -n 's/^ *\([0-9,]*\) .*:calls_\([a-z0-9_]*\).*/\2 \1/p' | tr -d , >"$work/$1.count"
    }
    instructions native-count ''
    instructions shim-count "$shim"
    echo
    echo '| instructions a call, simulated driver | native | shim | added |'
    echo '| --- | --- | --- | --- |'
    for kind in alloc_512 alloc_1m async_1m vmm_2m get_info launch; do
        awk -v kind="$kind" '$1 == kind { v[FNR == NR ? 1 : 2] = $2 / 200 } END { printf "| %s | %d | %d | %d |\n", kind, v[1], v[2], v[2] - v[1] }' "$work/native-count.count" "$work/shim-count.count"
    done
fi
echo
echo "$missed missed"
[ $missed = 0 ]
