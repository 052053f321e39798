#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the plugin costs the engine's users, beside an engine without plugins and one with a plugin that allows
# everything, in one run.
#
#   bench/api/run.sh [--engine 20.10|26.1|28.5] [--rounds N] [--ms N] [--runs N] [--starts N] [--containers N]
#       [--only routes,run,quota,memory|status] [--plugin FOLDER]
#
# --ms: how long each route is called in a round; --runs: `docker run`s in a round; --containers: that come and go
# before the plugin's memory is looked at again (10000 for a long run); --plugin: another build of the plugin than
# build/plugin; --only status: what it costs that people look (docker runai ps) at 500 containers on 4 GPUs, or at as
# many as --containers says (8 GiB of memory for 500). Prints a Markdown table; exit code 1 where a target is missed.
# Needs root and `make all`.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$PWD/build
engine=tests/engine/private-engine.sh
version=20.10
plugin=$build/plugin
pass=()
gpus=(--total 10989m)
while [ $# -gt 0 ]; do
    case $1 in
    --engine) version=$2 ;;
    --plugin) plugin=$(realpath "$2") ;;
    --rounds | --ms | --runs | --starts | --containers) pass+=("$1" "$2") ;;
    --only)
        pass+=("$1" "$2")
        [ "$2" != status ] || gpus=(--gpus 4 --total 143771m)
        ;;
    *) sed -n '3,/^set/p' "$0" | sed 's/^# \{0,1\}//;$d' && exit 2 ;;
    esac
    shift 2
done
tools/need docker iproute2 gcc dotnet golang-go
for built in "$plugin/rootfs" "$build/sim/simgpu" "$build/cli/runai-docker"; do
    [ -e "$built" ] || { echo "$built is missing: make all" >&2 && exit 1; }
done
[ "$version" = 20.10 ] || $engine get-engines "$build/engines"

mkdir -p "$build/bench"
gcc -std=gnu11 -O2 -Wall -Wextra -Werror -o "$build/bench/quota-wait" bench/api/quota-wait.c
GOCACHE=$build/bench/go go build -o "$build/bench/allow-all" bench/api/allow-all.go
dotnet publish bench/api -c Release -o "$build/bench/api" -v quiet --nologo

work=$(mktemp -d /var/tmp/api-bench.XXXXXX)
allow_all=
cleanup() {
    trap - EXIT INT TERM
    [ -z "$allow_all" ] || kill "$allow_all" 2>/dev/null || true
    $engine down "$work/engine"
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$work/engine/run"
"$build/sim/simgpu" create "$work/engine/run/simgpu" "${gpus[@]}" >/dev/null
export SIMGPU_DIR=$work/engine/run/simgpu SIMGPU_LIB=$build/sim DOCKER_HOST=unix://$work/engine/run/docker.sock
export DOCKER_CONFIG=$work/cli
mkdir -p "$DOCKER_CONFIG/cli-plugins"
ln -s "$build/cli/runai-docker" "$DOCKER_CONFIG/cli-plugins/docker-runai"
echo '{}' >"$work/engine/daemon.json"
bin=()
if [ "$version" != 20.10 ]; then
    bin=(--bin "$build/engines/$version")
    PATH=$build/engines/$version:$PATH
fi
$engine up "$work/engine" --path "$build/sim" ${bin[@]+"${bin[@]}"} -- --config-file "$work/engine/daemon.json"
# In the engine's mount namespace, where /run/docker/plugins is its own.
nsenter --target "$(cat "$work/engine/keeper")" --mount -- \
    sh -c "mkdir -p /run/docker/plugins && exec '$build/bench/allow-all' /run/docker/plugins/allow-all.sock" &
allow_all=$!
docker plugin create runai/gpu-memory "$plugin" >/dev/null
docker plugin set runai/gpu-memory "run.source=$work/engine/run" "driver.source=$build/sim" \
    NVML_LIBRARY=/host/usr/libnvidia-ml.so.1
docker plugin enable runai/gpu-memory >/dev/null
sh tests/engine/image.sh >"$work/image.tar"
tar --append --file "$work/image.tar" --directory "$build/bench" --transform 's,^,usr/bin/,' quota-wait
docker import "$work/image.tar" api-bench >/dev/null
echo "Docker $(docker version --format '{{.Server.Version}}'), $(nproc) cores, $(uname -r), $(date -u +%F)"
echo
"$build/bench/api/ApiBench" --engine-folder "$work/engine" --plugin "$plugin" ${pass[@]+"${pass[@]}"}
