#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What runai-docker adds to a docker command: median and best time of its start, and of `docker version` with and
# without it, in turn. After `make cli`; `docker version` needs no engine.
#   ROUNDS        how often each is run (default 100)
#   RUNAI_DOCKER  the docker to call (default docker)
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${ROUNDS:-100}
cli=build/cli/runai-docker
docker=${RUNAI_DOCKER:-docker}
[ -x $cli ] || { echo "$cli is missing: run \`make cli\` first" >&2 && exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

timed() { # NAME COMMAND...
    local name=$1 begin=$EPOCHREALTIME end
    shift
    "$@" >/dev/null 2>&1 </dev/null || true
    end=$EPOCHREALTIME
    echo $((${end/./} - ${begin/./})) >>"$work/$name"
}

row() { # TEXT NAME
    sort -n "$work/$2" | awk -v text="$1" '
        { all[NR] = $1 / 1000 }
        END { printf "| %s | %.1f | %.1f |\n", text, all[int((NR + 1) / 2)], all[1] }'
}

for ((round = 0; round < rounds; round++)); do
    timed start $cli docker-cli-plugin-metadata
    timed without "$docker" version
    timed with $cli version
done
echo "| $rounds runs of each, in turn | median, ms | best, ms |"
echo "| --- | --- | --- |"
row "start of runai-docker (its metadata)" start
row "\`docker version\`" without
row "\`runai-docker version\`" with
echo
size=$(stat -c %s $cli)
echo "build/cli/runai-docker: $((size / 1000)) kB"
