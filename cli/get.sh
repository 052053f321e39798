#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# get.sh [FOLDER]: installs runai-docker into FOLDER, and as the Docker CLI plugin `docker runai`.
#   as root     FOLDER is /usr/local/bin; the CLI plugin is for all users
#   otherwise   FOLDER is ~/.local/bin; the CLI plugin is yours alone
#   DOCKER_CLI_PLUGINS  another folder for the CLI plugin
# It writes FOLDER/runai-docker, and a link to it: as root /usr/local/lib/docker/cli-plugins/docker-runai,
# otherwise ~/.docker/cli-plugins/docker-runai. Where FOLDER is a bin, it writes the man page and the completion for
# bash into the share beside it: man/man1/runai-docker.1 and bash-completion/completions/runai-docker.
# To remove it, remove these four.
set -eu
case ${1:-} in
-h | --help) sed -n '3,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
-*) echo "get.sh: unknown option $1; --help says what there is" >&2 && exit 2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" = 0 ]; then
    folder=/usr/local/bin plugins=/usr/local/lib/docker/cli-plugins
else
    folder=$HOME/.local/bin plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
fi
folder=${1:-$folder} plugins=${DOCKER_CLI_PLUGINS:-$plugins}
mkdir -p "$folder" "$plugins"
folder=$(cd "$folder" && pwd) plugins=$(cd "$plugins" && pwd)
version=$(sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' "$here/../Directory.Build.props")
installed="$folder/runai-docker $plugins/docker-runai"
put() { # FILE MODE TARGET
    mkdir -p "$(dirname "$3")"
    sed "s/@VERSION@/$version/" "$here/$1" >"$3.new"
    chmod "$2" "$3.new"
    mv "$3.new" "$3"
}
put runai-docker 0755 "$folder/runai-docker"
case $folder in
*/bin)
    man=${folder%/bin}/share/man/man1/runai-docker.1
    completion=${folder%/bin}/share/bash-completion/completions/runai-docker
    put runai-docker.1 0644 "$man"
    put completion.bash 0644 "$completion"
    installed="$installed $man $completion"
    ;;
esac
ln -sf "$folder/runai-docker" "$plugins/docker-runai"
echo "runai-docker is in $folder; docker runai is in $plugins"
echo "to remove it: rm $installed"
case ":$PATH:" in
*":$folder:"*) ;;
*) echo "$folder is not on your PATH: add it to call runai-docker by its name" ;;
esac
