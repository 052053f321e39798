#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# clients.sh BUILD: NVML clients of other people (Debian's contrib) under a quota, beside a program that holds memory.
set -eu
here=$(cd "$(dirname "$0")" && pwd) build=$(cd "$1" && pwd)
work=$(mktemp -d)
holder=
trap 'kill $holder 2>/dev/null || true; rm -rf "$work"' EXIT
if ! [ -x "$build/clients/usr/bin/nvtop" ]; then
    "$here/../engine/debian.sh" bookworm "$work/debs" python3-pynvml nvtop
    for deb in "$work"/debs/*.deb; do dpkg -x "$deb" "$build/clients"; done
fi
mkdir "$work/usage"
cp "$build/shim/librunai.so" "$work/"
printf 'version=1\nlimit=0.3\n' >"$work/quota"
"$build/sim/simgpu" create "$work/gpus"
export SIMGPU_DIR="$work/gpus" LD_LIBRARY_PATH="$build/sim" HOME="$work"
limited() { LD_PRELOAD="$work/librunai.so" "$@"; }
LD_PRELOAD="$work/librunai.so" "$build/sim/gpu-alloc" --hold 100 1g >"$work/held" &
holder=$!
until grep -q allocated "$work/held"; do sleep 0.05; done
passed=0 failed=0
for client in pynvml nvtop; do
    if PYTHONPATH="$build/clients/usr/lib/python3/dist-packages" limited /usr/bin/python3 "$here/clients.py" "$client" \
        "$holder" "$build/clients/usr/bin/nvtop"; then
        echo "ok     $client shows the quota"
        passed=$((passed + 1))
    else
        echo "FAILED $client shows the quota"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
