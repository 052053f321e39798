#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sanitize-threads.sh BUILD [TIMES]: the shim under ThreadSanitizer, in the scenario where threads race at the limit.
# Its runtime cannot be preloaded into programs that are not built for it (a shell, timeout), so the scenario is started
# directly.
set -eu
here=$(cd "$(dirname "$0")" && pwd) build=$(cd "$1" && pwd)
out="$build/thread-sanitized"
mkdir -p "$out"
ln -sfn "$build/sim" "$out/sim"
make -s -C "$here/../../shim" BUILD="$out" CFLAGS="-O1 -g -fsanitize=thread" LDFLAGS=-fsanitize=thread all
make -s -C "$here" BUILD="$out" CFLAGS="-O1 -g -fsanitize=thread" LDFLAGS=-fsanitize=thread "$out/shim-tests/shim-tests"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/usage"
cp "$out/shim/librunai.so" "$work/"
printf 'version=1\nlimit=400m\n' >"$work/quota"
runtime=$(${CC:-gcc} -print-file-name=libtsan.so)
export SIMGPU_DIR="$work/gpus" LD_LIBRARY_PATH="$build/sim" RUNAI_TEST_BUILD="$build" RUNAI_TEST_DIRECTORY="$work"
times=${2:-1}
for _ in $(seq "$times"); do
    rm -rf "$work/gpus" "$work"/usage/*
    "$build/sim/simgpu" create "$work/gpus"
    LD_PRELOAD="$runtime:$work/librunai.so" "$out/shim-tests/shim-tests" \
        --scenario Threads_racing_at_the_limit_never_exceed_it
done
echo "ok     ThreadSanitizer: threads racing at the limit, $times times"
