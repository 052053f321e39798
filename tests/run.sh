#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every test that needs no GPU, in the order in which a failure says most: the simulated GPU, the shim, the plugin,
# the whole on real engines. All run whatever fails before; the last line counts them all.
#   run.sh [sim|shim|sanitize|arm64|fuzz|cli|unit|engine]...    just these, with what is built
set -euo pipefail
# What was started in the background ignores Ctrl-C, and so would all that the tests interrupt.
[ -n "${SIGNALS_ARE_DEFAULT:-}" ] || SIGNALS_ARE_DEFAULT=1 exec env --default-signal=INT,QUIT bash "$0" "$@"
cd "$(dirname "$0")/.."
work=$(mktemp -d /tmp/gpu-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
# Temporary files of every program go where all goes in the end. No compiler stays behind to serve the next build.
mkdir "$work/tmp"
chmod 0711 "$work" "$work/tmp" # other users have to get through
export TMPDIR=$work/tmp MSBUILDDISABLENODEREUSE=1 UseSharedCompilation=false
passed=0 failed=0

# section NAME COMMAND...: counts what the command's closing line says; a section that ends badly without a count is one
# failure.
section() {
    local name=$1 code=0 line p=0 f=0
    shift
    printf '\n== %s\n' "$name"
    "$@" 2>&1 | tee "$work/log" || code=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$work/log" | tail -n 1) || true
    if [ -n "$line" ]; then
        p=${line%% passed*} f=${line#*passed, } f=${f%% failed*}
    else
        # NUnit's summary: "Passed!  - Failed:     0, Passed:     8, Skipped: ..." in one line, or "     Passed: 8" in
        # one of several.
        p=$(sed -n 's/^\(.* -.*\|  *\)\bPassed: *\([0-9]*\).*/\2/p' "$work/log" | tail -n 1)
        f=$(sed -n 's/^\(.* - *\|  *\)\bFailed: *\([0-9]*\).*/\2/p' "$work/log" | tail -n 1)
        p=${p:-0} f=${f:-0}
    fi
    if [ "$code" != 0 ] && [ "$f" = 0 ]; then f=1; fi
    if [ "$p" = 0 ] && [ "$f" = 0 ]; then
        echo "$name: no test ran" && f=1
    fi
    passed=$((passed + p)) failed=$((failed + f))
    [ "$f" = 0 ] || { echo "$name:" && failures_of "$work/log"; } >>"$work/failures"
}

# The tests that failed, each with the line of NUnit's message that says why.
failures_of() {
    awk '/^ *(FAILED |Failed [A-Za-z_]+.*\[)/ { print "  " $0; next }
        /^ *Error Message:/ { getline; print "   " substr($0, 1, 150) }' "$1" | head -n 40
}

# For what says by its exit code alone that all is well.
counted() {
    if "$@"; then echo "1 passed, 0 failed"; else echo "0 passed, 1 failed" && return 1; fi
}

wanted() { [ ${#only[@]} = 0 ] || [[ " ${only[*]} " == *" $1 "* ]]; }
only=("$@")

[ $# -gt 0 ] || make -s all shim-tests
wanted sim && section "the simulated GPU" make --no-print-directory -C tests/sim BUILD="$PWD/build" check
wanted shim && section "the shim" make --no-print-directory -C tests/shim BUILD="$PWD/build" check
wanted shim && section "NVML clients of other people" tests/shim/clients.sh "$PWD/build"
wanted sanitize && section "the shim under the address and undefined-behaviour sanitizers" tests/shim/sanitize.sh \
    "$PWD/build"
wanted sanitize && section "the shim under the thread sanitizer" counted tests/shim/sanitize-threads.sh "$PWD/build"
wanted arm64 && section "the shim for arm64" tests/shim/arm64.sh "$PWD/build"
wanted fuzz && section "fuzz targets, a while" counted make --no-print-directory -C tests/shim BUILD="$PWD/build" \
    SECONDS=5 fuzz
wanted cli && section "runai-docker" tests/cli/check.sh
wanted cli && section "runai-docker (NUnit)" dotnet test tests/cli -c Release --nologo
wanted unit && section "the plugin (NUnit)" dotnet test tests/plugin -c Release --nologo
wanted engine && section "real engines (NUnit)" dotnet test tests/engine -c Release \
    --nologo --filter "TestCategory!=Long&TestCategory!=Arm64" --logger "console;verbosity=normal"
# Once more at the end, where a log that was cut still has them.
[ $failed = 0 ] || { echo && cat "$work/failures"; }
printf '\n%s passed, %s failed\n' $passed $failed
[ $failed = 0 ]
