#!/bin/sh
# get.sh [FOLDER]: installs runai-docker into FOLDER (default /usr/local/bin), and as the Docker CLI plugin `docker runai` for all users.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-/usr/local/bin}
plugins=${DOCKER_CLI_PLUGINS:-/usr/local/lib/docker/cli-plugins}
mkdir -p "$folder" "$plugins"
install -m 0755 "$here/runai-docker" "$folder/runai-docker"
ln -sf "$folder/runai-docker" "$plugins/docker-runai"
echo "runai-docker is in $folder; docker runai is in $plugins"
