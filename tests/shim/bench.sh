#!/bin/sh
# bench.sh BUILD [ROUNDS [SCALE]]: the costs of calls without and with the shim, in turn, medians of the rounds.
# With a real driver (libcuda.so.1 on the loader's path) it measures that; else the simulated one in BUILD/sim.
set -eu
build=$(cd "$1" && pwd) rounds=${2:-5} scale=${3:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/usage"
cp "$build/shim/librunai.so" "$work/"
printf 'version=1\nlimit=0.9\n' >"$work/quota"
if [ ! -e /dev/nvidiactl ]; then
    "$build/sim/simgpu" create "$work/gpus" --total 100g
    export SIMGPU_DIR="$work/gpus" LD_LIBRARY_PATH="$build/sim"
fi
i=0
while [ $i -lt "$rounds" ]; do
    "$build/shim-tests/bench" "$scale" >"$work/native.$i"
    LD_PRELOAD="$work/librunai.so" "$build/shim-tests/bench" "$scale" >"$work/shim.$i"
    i=$((i + 1))
done
printf '%-46s %12s %12s %8s %10s\n' "ns, median of $rounds" native shim ratio added
grep -v '^#' "$work/native.0" | cut -f1 | while read -r name; do
    median() {
        awk -F'\t' -v n="$name" '$1 == n { print $2 }' "$work/$1".* | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
    }
    native=$(median native) shim=$(median shim)
    awk -v n="$name" -v a="$native" -v b="$shim" 'BEGIN { printf "%-46s %12.1f %12.1f %8.3f %+10.1f\n", n, a, b, b / a, b - a }'
done
