#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# races.sh BUILD [TIMES]: every test of race_test.c so many times (500), plain and under the address and
# undefined-behaviour sanitizers, a tenth as often with random delays, and the one of sanitize-threads.sh under
# ThreadSanitizer. As many at once as there are processors; prints what failed, and a count.
set -eu
here=$(cd "$(dirname "$0")" && pwd) build=$(cd "$1" && pwd) times=${2:-500}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$here/sanitize.sh" "$build" 'no such test' >/dev/null # builds
"$here/delayed.sh" "$build" 'no such test' >/dev/null
one() { # KIND TEST
    case $1 in
    plain) "$build/shim-tests/shim-tests" "$build" "$2" ;;
    address) "$here/sanitize.sh" "$build" "$2" ;;
    delayed) RUNAI_TEST_REPEAT=$((times / 10 + 1)) "$here/delayed.sh" "$build" "$2" ;;
    thread) "$here/sanitize-threads.sh" "$build" "$times" ;;
    esac >"$work/$1.$2" 2>&1 && echo "ok     $1: $2" && return
    # Nothing was exceeded there: the machine was too slow.
    ! grep -q '(too long)' "$work/$1.$2" || { echo "SLOW   $1: $2" && return; }
    echo "FAILED $1: $2" && cat "$work/$1.$2"
}
if [ $# = 4 ]; then
    one "$3" "$4"
    exit
fi
export RUNAI_TEST_REPEAT="$times"
{
    echo thread Threads_racing_at_the_limit
    sed -n 's/^SCENARIO(\([A-Za-z_]*\),.*/\1/p' "$here/race_test.c" |
        while read -r test; do echo "plain $test" && echo "address $test" && echo "delayed $test"; done
} | xargs -P "$(nproc)" -L 1 "$0" "$build" "$times" | tee "$work/log"
failed=$(grep -c '^FAILED' "$work/log" || true)
slow=$(grep -c '^SLOW' "$work/log" || true)
passed=$(grep -c '^ok' "$work/log" || true)
echo "$passed passed, $failed failed, $slow took too long, $times times each (delayed: $((times / 10 + 1)))"
[ "$failed$slow" = 00 ]
