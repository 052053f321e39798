#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# hooks-table.sh: the table of docs/shim.md, from shim/hooks.def.
here=$(cd "$(dirname "$0")" && pwd)
echo '| area | functions |'
echo '| --- | --- |'
sed -n 's/^HOOK([a-z]*, *\([A-Za-z0-9_]*\), *\([a-z]*\), *\([0-9]*\), *\([a-z]*\),.*/\4 \1/p' \
    "$here/../../shim/hooks.def" | sort -s -k1,1 |
    awk '$1 == area { printf ", `%s`", $2; next }
        { if (area) print " |"; area = $1; printf "| `hook_%s.c` | `%s`", area, $2 }
        END { print " |" }' | sed 's/`hook_route.c`/`resolve.c`/'
