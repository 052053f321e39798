#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the shim costs and whether it is exact: one Markdown table, native and shim measured in turn in one run.
#
#   bench/shim/run.sh [sim|gpu] [PART]...      on the simulated GPU (default) or on that of this machine; all parts, or:
#
#     calls    single calls, by size, among others, beside a neighbour, in threads
#     starts   cuInit and the first context: one process, the first of its container, beside a neighbour, 8 at once
#     crowd    64 processes at once (half a minute a round on a GPU)
#     programs a program that uses no GPU
#     rest     what a process sees as its use, against the driver's count
#     race     64 processes at the limit, 100 rounds, the driver's count meanwhile
#     count    instructions a call, with valgrind (simulated GPU only)
#
# After `make shim sim`. On the simulated driver a call takes next to no time, so that a ratio says nothing there: only
# absolute targets are judged, and with valgrind there are counts of instructions. On a real GPU nothing else may use it
# meanwhile; there it takes some 6 minutes, and of build/ just shim/librunai.so and bench/shim-bench. Be root: what is
# measured runs in PID namespaces.
#
#   BUILD    what was built (default build/ of the checkout)
#   BEFORE   a librunai.so of before, measured in turn with the others: one column more
#   ROUNDS   of calls, native and shim in turn so many times (default 40 on a GPU, 5 else)
#   PAIRS    of starts, and CROWDS of 64 at once (default 12 and 2 on a GPU, 5 and 2 else)
#   SECONDS_OF_RACE  how long processes race at most; a round has as many calls as let 100 rounds fit (default 40 on
#                    a GPU, 15 else)
set -euo pipefail
cd "$(dirname "$0")/../.."
driver=${1:-sim}
[ $# = 0 ] || shift
all=(calls starts crowd programs rest race count)
parts=("$@")
[ $# != 0 ] || parts=("${all[@]}")
usage() { sed -n '3,/^set/p' bench/shim/run.sh | sed 's/^# \{0,1\}//;$d' >&2 && exit 2; }
for part in "${parts[@]}"; do [[ " ${all[*]} " == *" $part "* ]] || usage; done
wanted() { [[ " ${parts[*]} " == *" $1 "* ]]; }
build=${BUILD:-$PWD/build}
bench=$build/bench/shim-bench
work=$(mktemp -d /tmp/shim-bench.XXXXXX)
shim=$work/librunai.so
before=
keeper='' neighbour=''
cleanup() {
    [ -z "$keeper" ] || kill "$keeper" 2>/dev/null || true
    [ -z "$neighbour" ] || kill "$neighbour" 2>/dev/null || true
    umount "$work/usage" "$work/before/usage" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
# A GPU host need not have make: then shim-bench was built elsewhere.
! command -v make >/dev/null || make --no-print-directory -s -C bench/shim BUILD="$build" all

case $driver in
sim)
    rounds=${ROUNDS:-5} pairs=${PAIRS:-5} crowds=${CROWDS:-2} programs=300 race=${SECONDS_OF_RACE:-15}
    export SIMGPU_DIR=$work/gpus LD_LIBRARY_PATH=$build/sim
    "$build/sim/simgpu" create "$SIMGPU_DIR" >/dev/null
    where="a simulated GPU"
    ;;
gpu)
    rounds=${ROUNDS:-40} pairs=${PAIRS:-12} crowds=${CROWDS:-2} programs=2000 race=${SECONDS_OF_RACE:-40}
    where=$(nvidia-smi --id=0 --query-gpu=name,driver_version,memory.total --format=csv,noheader |
        sed 's/, /, driver /;s/, \([0-9]* MiB\)/, \1/')
    ;;
*) usage ;;
esac

# directory WHERE LIBRARY: a private directory, as the plugin makes it.
directory() {
    mkdir -p "$1"
    mkdir -m 1777 "$1/usage"
    mount -t tmpfs -o size=64k,mode=1777,nosuid,nodev,noexec tmpfs "$1/usage" 2>/dev/null || true
    cp "$2" "$1/librunai.so"
    chmod 755 "$1"
}
directory "$work" "$build/shim/librunai.so"
sides=(native=- shim="$shim")
if [ -n "${BEFORE:-}" ]; then
    before=$work/before/librunai.so
    directory "$work/before" "$BEFORE"
    sides+=(before="$before")
fi
forget() { rm -f "$work"/usage/ledger-* "$work"/before/usage/ledger-*; }
quota() {
    local at
    for at in "$work" "$work/before"; do
        [ -d "$at" ] || continue
        printf 'version=1\ncontainer=%064d\nlimit=%s\n' 7 "$1" >"$at/quota.new"
        mv "$at/quota.new" "$at/quota"
    done
    forget
}
quota 0.9

# start KEY PROCESSES: each side once, in turn, as KEY.
start() {
    local i side
    for i in "${!sides[@]}"; do
        side=${sides[(i + turn) % ${#sides[@]}]}
        "$bench" start "${side#*=}" "$2" | sed "s/^start_[0-9]*/${side%%=*}\t$1/" >>"$work/figures"
    done
    turn=$((turn + 1))
}
# alone KEY: the same for the first process of a container, which knows nothing of its GPU yet.
alone() {
    forget
    start "$1" 1
}
# learn: lets the containers know what a context takes, as when two processes have met in them.
learn() {
    local side
    for side in "${sides[@]:1}"; do "$bench" start "${side#*=}" 2 >/dev/null; done
}
# figures KEY: native, shim and before (or -), each as `best median`, and behind that the ratios to native, of the shim
# and before: of the bests, and the median of those of the rounds. Of starts the side is the native median with the
# median difference in a round.
figures() {
    awk -F '\t' -v key="$1" '
        function sorted(v, n,   i, k, x) {
            for (i = 2; i <= n; i++) { x = v[i]; for (k = i; k > 1 && v[k - 1] > x; k--) v[k] = v[k - 1]; v[k] = x }
        }
        function median(v, n) { sorted(v, n); return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2 }
        function side(name,   v, r, d, i, m) {
            if (!n[name] || n[name] != n["native"]) return name == "before" ? "- -" : ""
            for (i = 1; i <= n[name]; i++) {
                v[i] = at[name, i]; r[i] = v[i] / at["native", i]; d[i] = v[i] - at["native", i]
            }
            m = median(v, n[name])
            best[name] = v[1]
            if (name == "native") own = m
            else if (key ~ /^(start|first)/) m = own + median(d, n[name])
            ratios = ratios (name == "native" ? "" : " " v[1] / best["native"] " " median(r, n[name]))
            return v[1] " " m
        }
        $2 == key { at[$1, ++n[$1]] = $3 }
        END {
            native = side("native"); shim = side("shim"); before = side("before")
            if (native != "" && shim != "") print native, shim, before ratios
        }' "$work/figures"
}
turn=0
touch "$work/figures"
if [ "$driver" = gpu ]; then
    nvidia-smi --loop-ms=1000 --id=0 --query-gpu=memory.used --format=csv >/dev/null & # keeps the driver initialised
    keeper=$!
fi
! wanted calls || "$bench" turns "$rounds" "${sides[@]}" >>"$work/figures"
if wanted starts; then
    for _ in $(seq "$pairs"); do alone first_1; done
    mkfifo "$work/go" "$work/begun"
    "$bench" neighbour 2048 <"$work/go" >"$work/begun" &
    neighbour=$!
    exec 3>"$work/go" 4<"$work/begun"
    head -c 8 <&4 >/dev/null
    for _ in $(seq "$pairs"); do alone first_beside; done
    exec 3>&- 4<&-
    wait "$neighbour"
    neighbour=
    learn
    for _ in $(seq "$pairs"); do start start_1 1; done
    for _ in $(seq $(((pairs + 2) / 3))); do start start_8 8; done
fi
if wanted crowd; then
    learn
    for _ in $(seq "$crowds"); do start start_64 64; done
fi
! wanted programs || "$bench" spawn "$shim" "$programs" | sed 's/^true_\([a-z]*\)/\1\ttrue/' >>"$work/figures"
if wanted rest || wanted race; then "$bench" rest "$shim" >"$work/rest"; fi
if wanted race; then
    context=$(awk -F '\t' '$2 == "context" { print int($3) }' "$work/rest")
    limit=$((64 * context + 1024))
    quota ${limit}m
    [ "$driver" != sim ] || "$build/sim/simgpu" set "$SIMGPU_DIR" --peak 0 >/dev/null
    "$bench" overshoot "$shim" $((limit << 20)) 64 100 "$race" >"$work/race"
    [ "$driver" != sim ] || peak=$("$build/sim/simgpu" peak "$SIMGPU_DIR" | head -n 1)
fi

echo "Shim against native: $where, $(date -u +%F), kernel $(uname -r), $(nproc) processors."
cat <<END
For calls: the best and (median) of $rounds rounds in turn, each on one core; ratios of the best and (the median of a
round's ratios). For starts: the median, and the median difference in a round. The ratios in parentheses are compared
with the target. HAMi-core: earlier ratios, of another day.
END
echo
echo '| what | native | shim | ratio | before | HAMi-core | target | |'
echo '| --- | --- | --- | --- | --- | --- | --- | --- |'
missed=0
# row WHAT KEY [TARGET [KIND [HAMI]]]: KIND ratio, or added (of TARGET nanoseconds). Nothing where it was not measured.
row() {
    local found
    found=$(figures "$2")
    [ -n "$found" ] || return 0
    verdict=$(awk -v what="$1" -v target="${3:-}" -v kind="${4:-ratio}" -v hami="${5:-}" -v driver="$driver" '
        function show(ns) {
            if (ns >= 1e6) return sprintf("%.2f ms", ns / 1e6)
            return ns >= 1e3 ? sprintf("%.2f us", ns / 1e3) : sprintf("%.1f ns", ns)
        }
        function both(best, middle) { return show(best) " (" show(middle) ")" }
        function added(ns) { return (ns < 0 ? "-" show(-ns) : "+" show(ns)) }
        function ratio(best, middle) { return sprintf("%.2f (%.2f)", best, middle) }
        {
            ok = ""
            if (kind == "added") {
                ratios = added($4 - $2); old = $5 == "-" ? "" : added($6 - $2)
                text = "+" show(target)
                ok = $4 - $2 <= target ? "ok" : "MISS"
            } else {
                ratios = ratio($7, $8); old = $5 == "-" ? "" : ratio($9, $10)
                # 1.00 is reached by what rounds to it
                if (target != "") text = "<= " target
                if (target != "" && driver == "gpu") ok = sprintf("%.2f", $8) + 0 <= target + 0 ? "ok" : "MISS"
            }
            printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n",
                what, both($1, $2), both($3, $4), ratios, old, hami, text, ok
        }' <<<"$found")
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
row 'cuMemAllocAsync + cuMemFreeAsync, 1 MiB, warm pool' async_1m 1.15
row '16 at a time, of 16 sizes' async_mixed
row 'the same in 4 threads, each with its stream, a call' async_threads_4 1.00 ratio 0.98
row 'cuStreamSynchronize, nothing to wait for' synchronize
row 'VMM: create, map, set access, unmap, release, 2 MiB' vmm_2m 1.05
row 'cuMemGetInfo' get_info 1.10
row 'the same while a neighbour outside allocates and frees' get_info_beside 1.10 ratio 1.00
row 'cuLaunchKernel, empty kernel' launch 1.00
row 'dlsym of a name that is not hooked' lookup
row 'cuMemAlloc + cuMemFree, 1 MiB, 1 thread' threads_1
row '8 threads at once, a call' threads_8 0.60 ratio 0.57
row '64 threads at once, a call' threads_64
row 'cuInit + first context' start_1 10000000 added
row 'the same, first process of its container' first_1 10000000 added
row 'the same, beside a neighbour that holds 2 GiB' first_beside 10000000 added
row '8 processes at once, each' start_8
row '64 processes at once, each' start_64 1.00
row '/bin/true' true 300000 added

# exact WHAT VALUE TARGET ALLOWED: figures that have no native side.
exact() {
    local ok=ok
    awk -v v="$2" -v most="$4" 'BEGIN { exit !(v <= most) }' || { ok=MISS && missed=$((missed + 1)); }
    printf '| %s | | %s | | | | %s | %s |\n' "$1" "$2" "$3" "$ok"
}
race() { awk -F '\t' -v key="overshoot_$1" '$1 == key { print $2 }' "$work/race"; }
above() { echo $(($1 > limit << 20 ? $1 - (limit << 20) : 0)); }
if wanted race; then
    # A race that did not run, or was not watched, shows nothing.
    exact "64 processes racing at $limit MiB: rounds missing of 100" $((100 - $(race rounds))) 0 0
    exact 'the same, rounds without a look at the driver' $(($(race samples) > 0 ? 0 : $(race rounds))) 0 0
    exact 'bytes above it, process list' "$(above "$(race list)")" 0 0
    exact 'the same, device memory' "$(above "$(race device)")" 0 0
    [ "$driver" != sim ] || exact 'the same, the highest use ever' "$(above "$peak")" 0 0
fi
# apart COLUMN: what is reported less what the driver counts, at most. Managed memory is charged, but not counted by the
# driver.
apart() {
    awk -F '\t' -v at="$1" '$2 != "managed" { d = $at - $3; d = d < 0 ? -d : d; if (d > most) most = d }
        END { print most + 0 }' "$work/rest"
}
if wanted rest; then
    exact 'at rest, reported by NVML minus driver, at most, MiB' "$(apart 4)" '2 MiB' 2
    exact 'the same by CUDA' "$(apart 5)" '2 MiB' 2
fi
if wanted race; then
    echo
    printf '%s ' "The race: $(race rounds) rounds of $(race calls) calls or more a process," \
        "$(race had) allocations had, $(race refused) refused, $(race samples) samples of the driver's count,"
    echo "at most $(($(race list) >> 20)) MiB."
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
        callgrind_annotate --auto=no --inclusive=yes --threshold=100 "$work/$1.callgrind" |
            sed -n 's/^ *\([0-9,]*\) .*:calls_\([a-z0-9_]*\).*/\2 \1/p' | tr -d , >"$work/$1.count"
    }
    instructions native-count ''
    instructions shim-count "$shim"
    echo
    echo '| instructions a call, simulated driver | native | shim | added |'
    echo '| --- | --- | --- | --- |'
    for kind in alloc_512 alloc_1m async_1m async_mixed vmm_2m get_info launch; do
        awk -v kind="$kind" '$1 == kind { v[FNR == NR ? 1 : 2] = $2 / 200 }
            END { printf "| %s | %d | %d | %d |\n", kind, v[1], v[2], v[2] - v[1] }' \
            "$work/native-count.count" "$work/shim-count.count"
    done
fi
echo
echo "$missed missed"
[ $missed = 0 ]
