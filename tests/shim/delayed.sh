#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# delayed.sh BUILD [part of a test's name]: builds the shim and the simulated driver, beside BUILD's outputs, so that
# their threads are set aside at random between any two operations on what they share (delays.h), and runs the tests.
set -eu
here=$(cd "$(dirname "$0")" && pwd) build=$(cd "$1" && pwd)
out="$build/delayed" flags="-O2 -g -include $here/delays.h"
[ -n "$(find "$out/shim/librunai.so" -newer "$here/delays.h" 2>/dev/null)" ] || rm -rf "$out/shim"
mkdir -p "$out/sim"
ln -sfn "$build/shim-tests" "$out/shim-tests"
cp -u "$build/sim/simgpu" "$out/sim/"
make -s -C "$here/../../shim" BUILD="$out" CFLAGS="$flags" "$out/shim/librunai.so"
make -s -C "$here/../sim" BUILD="$out" CFLAGS="$flags" "$out/sim/libcuda.so.1" "$out/sim/libnvidia-ml.so.1"
"$build/shim-tests/shim-tests" "$out" ${2:+"$2"}
