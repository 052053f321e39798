#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# arm64.sh BUILD: cross-builds the shim, the simulated driver and the tests for arm64 (gcc-aarch64-linux-gnu), and runs
# what can run under qemu-user (qemu-user-static): the routes, and the shim's parts.
set -eu
here=$(cd "$(dirname "$0")" && pwd) build=$(cd "$1" && pwd)
out="$build/arm64" root=${ARM64_ROOT:-/usr/aarch64-linux-gnu}
mkdir -p "$out"
make -s -C "$here/../../shim" CC=aarch64-linux-gnu-gcc BUILD="$out" all
make -s -C "$here/../sim" CC=aarch64-linux-gnu-gcc BUILD="$out" "$out/sim/libcuda.so.1" "$out/sim/libnvidia-ml.so.1"
make -s -C "$here" CC=aarch64-linux-gnu-gcc BUILD="$out" all
passed=0 failed=0
scenario() { # limit name...
    limit=$1
    shift
    for name; do
        work=$(mktemp -d)
        mkdir "$work/usage"
        cp "$out/shim/librunai.so" "$work/"
        printf 'version=1\nlimit=%s\n' "$limit" >"$work/quota"
        "$build/sim/simgpu" create "$work/gpus"
        ln -sfn "$out/shim-tests" "$work/shim-tests"
        # shellcheck disable=SC3045 # the sh of Debian has it
        if (ulimit -c 0; timeout 120 qemu-aarch64-static -L "$root" -E LD_PRELOAD="$work/librunai.so" \
            -E LD_LIBRARY_PATH="$out/sim" \
            -E SIMGPU_DIR="$work/gpus" -E RUNAI_TEST_BUILD="$work" -E RUNAI_TEST_DIRECTORY="$work" \
            "$out/shim-tests/shim-tests" --scenario "$name") >"$work/output" 2>&1; then
            echo "ok     arm64: $name"
            passed=$((passed + 1))
        else
            cat "$work/output"
            echo "FAILED arm64: $name"
            failed=$((failed + 1))
        fi
        rm -rf "$work"
    done
}
# What needs the simulated GPU itself does not run there: its device locks are beyond qemu-user.
scenario 1g Every_row_of_the_list_answers_dlsym Every_row_of_the_list_answers_dlvsym \
    A_driver_loaded_globally_is_hooked_in_all_lookups Without_a_driver_its_names_are_not_there \
    A_driver_loaded_locally_stays_out_of_the_default_scope Names_that_are_not_hooked_come_from_the_driver \
    The_loaders_own_functions_lead_to_the_hooks The_next_dlsym_in_glibcs_version_is_the_shims \
    A_stub_that_failed_is_gone_when_it_is_closed Two_open_stubs_answer_each_for_itself \
    A_library_with_DEEPBIND_is_bound_to_the_shim Errors_of_DEEPBIND_are_the_loaders
for part in The_value The_quota_file The_table Classes References A_sweep A_device_keeps Rows_of Sums_of \
    A_row_that_no_scan The_row_of_a_killed No_symbol The_library_exports; do
    if qemu-aarch64-static -L "$root" "$out/shim-tests/shim-tests" "$out" "$part" >"$out/output" 2>&1; then
        sed -n 's/^ok     /ok     arm64: /p' "$out/output"
        passed=$((passed + 1))
    else
        cat "$out/output"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
