#!/usr/bin/env bash
# What the shim costs and whether it is exact: one Markdown table, native and shim measured in turn in one run.
#
#   bench/shim/run.sh [sim|gpu] [PART]...      on the simulated GPU (default) or on the one of this machine; all parts, or these:
#
#     calls    single calls, by size, among others, in threads
#     starts   cuInit and the first context: one process, the first of its container, 8 at once
#     crowd    64 processes at once (half a minute a pair on a GPU)
#     programs a program that uses no GPU
#     rest     what a process is told it uses, against the driver's count
#     race     64 processes at the limit, 100 rounds, the driver's count meanwhile
#     count    instructions a call, with valgrind (simulated GPU only)
#
# After `make shim sim`. On the simulated driver a call takes next to no time, so that a ratio says nothing there: only absolute
# targets are judged, and with valgrind there are counts of instructions. On a real GPU nothing else may use it meanwhile.
#
#   BUILD    what was built (default build/ of the checkout)
#   ROUNDS   of calls, native and shim in turn so many times (default 6 on a GPU, 3 else)
#   PAIRS    of starts, and CROWDS of 64 at once (default 12 and 2 on a GPU, 5 and 2 else)
#   SECONDS_OF_RACE  how long processes race at most; a round has as many calls as let 100 rounds fit (default 40 on a GPU, 15 else)
set -euo pipefail
cd "$(dirname "$0")/../.."
driver=${1:-sim}
[ $# = 0 ] || shift
all=(calls starts crowd programs rest race count)
parts=("$@")
[ $# != 0 ] || parts=("${all[@]}")
usage() { sed -n '2,/^set/p' bench/shim/run.sh | sed 's/^# \{0,1\}//;$d' >&2 && exit 2; }
for part in "${parts[@]}"; do [[ " ${all[*]} " == *" $part "* ]] || usage; done
wanted() { [[ " ${parts[*]} " == *" $1 "* ]]; }
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
    rounds=${ROUNDS:-3} pairs=${PAIRS:-5} crowds=${CROWDS:-2} programs=300 race=${SECONDS_OF_RACE:-15}
    export SIMGPU_DIR=$work/gpus LD_LIBRARY_PATH=$build/sim
    "$build/sim/simgpu" create "$SIMGPU_DIR" >/dev/null
    where="a simulated GPU"
    ;;
gpu)
    rounds=${ROUNDS:-6} pairs=${PAIRS:-12} crowds=${CROWDS:-2} programs=2000 race=${SECONDS_OF_RACE:-40}
    where=$(nvidia-smi --id=0 --query-gpu=name,driver_version,memory.total --format=csv,noheader | sed 's/, /, driver /;s/, \([0-9]* MiB\)/, \1/')
    ;;
*) usage ;;
esac

# The private directory, as the plugin makes it.
mkdir -m 1777 "$work/usage"
mount -t tmpfs -o size=64k,mode=1777,nosuid,nodev,noexec tmpfs "$work/usage" 2>/dev/null || true
cp "$build/shim/librunai.so" "$shim"
chmod 755 "$work"
quota() {
    printf 'version=1\ncontainer=%064d\nlimit=%s\n' 7 "$1" >"$work/quota.new"
    mv "$work/quota.new" "$work/quota"
    rm -f "$work"/usage/ledger-*
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
# alone COMMAND...: the same for the first process of a container, which knows nothing of its GPU yet.
alone() {
    rm -f "$work"/usage/ledger-*
    measure "$@"
}
# learn: lets the container know what a context takes, as when two processes have met in it.
learn() { "$bench" start "$shim" 2 >/dev/null; }
# figures KEY: native and shim in nanoseconds. Of calls the least disturbed round of each (the cores of a shared machine differ by
# 40% for seconds, and then calls that no shim touches take as much longer); of starts the native median, and with the shim
# that and the median difference in a pair that ran one after the other.
figures() {
    awk -F '\t' -v key="$1" '
        function sorted(v, n,   i, k, x) { for (i = 2; i <= n; i++) { x = v[i]; for (k = i; k > 1 && v[k - 1] > x; k--) v[k] = v[k - 1]; v[k] = x } }
        function median(v, n) { sorted(v, n); return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2 }
        $1 == key { if (FILENAME ~ /native$/) native[++n] = $2; else shim[++s] = $2 }
        END {
            if (!n || n != s) exit
            if (key ~ /^(start|first)_/) {
                for (i = 1; i <= n; i++) added[i] = shim[i] - native[i]
                m = median(native, n)
                print m, m + median(added, n)
            } else {
                sorted(native, n)
                sorted(shim, n)
                print native[1], shim[1]
            }
        }' "$work/native" "$work/shim"
}
measured=0
touch "$work/native" "$work/shim"
if [ "$driver" = gpu ]; then
    nvidia-smi --loop-ms=1000 --id=0 --query-gpu=memory.used --format=csv >/dev/null & # keeps the driver initialised
    keeper=$!
fi
! wanted calls || for _ in $(seq "$rounds"); do measure figures; done
if wanted starts; then
    for _ in $(seq "$pairs"); do alone start LIBRARY 1; done
    sed -i 's/^start_1\t/first_1\t/' "$work/native" "$work/shim"
    learn
    for _ in $(seq "$pairs"); do measure start LIBRARY 1; done
    for _ in $(seq $(((pairs + 2) / 3))); do measure start LIBRARY 8; done
fi
if wanted crowd; then
    learn
    for _ in $(seq "$crowds"); do measure start LIBRARY 64; done
fi
if wanted programs; then
    "$bench" spawn "$shim" "$programs" >"$work/true"
    sed -n 's/^true_native/true/p' "$work/true" >>"$work/native"
    sed -n 's/^true_shim/true/p' "$work/true" >>"$work/shim"
fi
! wanted rest && ! wanted race || "$bench" rest "$shim" >"$work/rest"
if wanted race; then
    context=$(awk -F '\t' '$2 == "context" { print int($3) }' "$work/rest")
    limit=$((64 * context + 1024))
    quota ${limit}m
    [ "$driver" != sim ] || "$build/sim/simgpu" set "$SIMGPU_DIR" --peak 0 >/dev/null
    "$bench" overshoot "$shim" $((limit << 20)) 64 100 "$race" >"$work/race"
    [ "$driver" != sim ] || peak=$("$build/sim/simgpu" peak "$SIMGPU_DIR" | head -n 1)
fi

echo "Shim against native: $where, $(date -u +%F), kernel $(uname -r), $(nproc) processors; of calls the best round, of starts the median difference."
echo
echo '| what | native | shim | ratio | target | |'
echo '| --- | --- | --- | --- | --- | --- |'
missed=0
# row WHAT KEY [TARGET [KIND]]: KIND ratio, or added (of TARGET nanoseconds). Nothing where it was not measured.
row() {
    local native shimmed
    read -r native shimmed < <(figures "$2") || return 0
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
row '16 at a time, of 16 sizes' async_mixed
row 'cuStreamSynchronize, nothing to wait for' synchronize
row 'VMM: create, map, set access, unmap, release, 2 MiB' vmm_2m
row 'cuMemGetInfo' get_info 1.10
row 'cuLaunchKernel, empty kernel' launch 1.00
row 'dlsym of a name that is not hooked' lookup
row 'cuMemAlloc + cuMemFree, 1 MiB, 1 thread' threads_1
row '8 threads at once, a call' threads_8
row '64 threads at once, a call' threads_64
row 'cuInit + first context' start_1 10000000 added
row 'the same, first process of its container' first_1 10000000 added
row '8 processes at once, each' start_8
row '64 processes at once, each' start_64 1.00
row '/bin/true' true 300000 added

# exact WHAT VALUE TARGET ALLOWED: figures that have no native side.
exact() {
    local ok=ok
    awk -v v="$2" -v most="$4" 'BEGIN { exit !(v <= most) }' || { ok=MISS && missed=$((missed + 1)); }
    printf '| %s | | %s | | %s | %s |\n' "$1" "$2" "$3" "$ok"
}
race() { awk -F '\t' -v key="overshoot_$1" '$1 == key { print $2 }' "$work/race"; }
above() { echo $(($1 > limit << 20 ? $1 - (limit << 20) : 0)); }
if wanted race; then
    # A race that nobody ran, or nobody watched, shows nothing.
    exact "64 processes racing at $limit MiB: rounds missing of 100" $((100 - $(race rounds))) 0 0
    exact 'the same, rounds without a look at the driver' $(($(race samples) > 0 ? 0 : $(race rounds))) 0 0
    exact 'bytes above it, process list' "$(above "$(race list)")" 0 0
    exact 'the same, device memory' "$(above "$(race device)")" 0 0
    [ "$driver" != sim ] || exact 'the same, the highest use ever' "$(above "$peak")" 0 0
fi
# apart COLUMN: what is reported less what the driver counts, at most. Managed memory is charged, but not counted by the driver.
apart() { awk -F '\t' -v at="$1" '$2 != "managed" { d = $at - $3; d = d < 0 ? -d : d; if (d > most) most = d } END { print most + 0 }' "$work/rest"; }
if wanted rest; then
    exact 'at rest, reported by NVML minus driver, at most, MiB' "$(apart 4)" '2 MiB' 2
    exact 'the same by CUDA' "$(apart 5)" '2 MiB' 2
fi
if wanted race; then
    echo
    echo "The race: $(race rounds) rounds of $(race calls) calls or more a process, $(race had) allocations had, $(race refused) refused, $(race samples) samples of the driver's count, at most $(($(race list) >> 20)) MiB."
fi
if wanted rest; then
    echo
    echo '| at rest, after | driver, MiB | NVML, MiB | CUDA, MiB |'
    echo '| --- | --- | --- | --- |'
    awk -F '\t' '{ printf "| %s | %s | %s | %s |\n", $2, $3, $4, $5 }' "$work/rest"
fi

if wanted count && [ "$driver" = sim ] && command -v valgrind >/dev/null; then
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
