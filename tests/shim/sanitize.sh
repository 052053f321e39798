#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sanitize.sh BUILD [part of a test's name]: builds the shim and its tests with the address and undefined-behaviour
# sanitizers beside BUILD's outputs, and runs them.
set -eu
here=$(cd "$(dirname "$0")" && pwd) build=$(cd "$1" && pwd)
flags='-fsanitize=address,undefined -fno-sanitize-recover=undefined' runtime="libasan.so libubsan.so"
out="$build/sanitized" first=
mkdir -p "$out"
ln -sfn "$build/sim" "$out/sim"
make -s -C "$here/../../shim" BUILD="$out" CFLAGS="-O1 -g -fno-omit-frame-pointer $flags" LDFLAGS="$flags" all
make -s -C "$here" BUILD="$out" CFLAGS="-O1 -g -fno-omit-frame-pointer $flags" LDFLAGS="$flags" all
for r in $runtime; do first="${first:+$first:}$(${CC:-gcc} -print-file-name="$r")"; done
# The helpers of the simulation and the shell are not built for a sanitizer: the runtime comes first all the same, and
# leaks are theirs.
RUNAI_TEST_FIRST="$first" ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0:handle_segv=0 \
    "$out/shim-tests/shim-tests" "$out" ${2:+"$2"}
