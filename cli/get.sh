#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# get.sh [FOLDER]: installs runai-docker into FOLDER, and as the Docker CLI plugin `docker runai`.
#   as root     FOLDER is /usr/local/bin; the CLI plugin is for all users
#   otherwise   FOLDER is ~/.local/bin; the CLI plugin is yours alone
#   DOCKER_CLI_PLUGINS  another folder for the CLI plugin
# It takes the runai-docker beside it (a release), else build/cli/runai-docker. Where both are missing, it builds it
# (`make cli`), for which it needs the .NET SDK.
# It writes FOLDER/runai-docker, and a link to it: as root /usr/local/lib/docker/cli-plugins/docker-runai,
# otherwise ~/.docker/cli-plugins/docker-runai. Where FOLDER is a bin, it writes the man page and the completion into
# the share beside it: man/man1/runai-docker.1, bash-completion/completions/runai-docker,
# zsh/site-functions/_runai-docker and fish/vendor_completions.d/runai-docker.fish.
# To remove it, remove these six.
set -eu
case ${1:-} in
-h | --help) sed -n '3,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
-*) echo "get.sh: unknown option $1; --help says what there is" >&2 && exit 2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
if [ "$(id -u)" = 0 ]; then
    folder=/usr/local/bin plugins=/usr/local/lib/docker/cli-plugins
else
    folder=$HOME/.local/bin plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
fi
folder=${1:-$folder} plugins=${DOCKER_CLI_PLUGINS:-$plugins}
built=$here/runai-docker
[ -e "$built" ] || built=$root/build/cli/runai-docker
[ -e "$built" ] || make -s -C "$root" cli
if ! "$built" docker-cli-plugin-metadata >/dev/null; then
    echo "get.sh: runai-docker does not run here; built on Debian 12, it needs glibc 2.34 or later" >&2
    echo "without it, type the two flags: docker run -v runai:/runai --label gpu-memory=0.5 ..." >&2
    exit 1
fi
mkdir -p "$folder" "$plugins"
folder=$(cd "$folder" && pwd) plugins=$(cd "$plugins" && pwd)
installed="$folder/runai-docker $plugins/docker-runai"
put() { # MODE TARGET COMMAND...
    mode=$1 target=$2
    shift 2
    mkdir -p "$(dirname "$target")"
    "$@" >"$target.new"
    chmod "$mode" "$target.new"
    mv "$target.new" "$target"
}
put 0755 "$folder/runai-docker" cat "$built"
case $folder in
*/bin)
    share=${folder%/bin}/share
    man=$share/man/man1/runai-docker.1
    bash=$share/bash-completion/completions/runai-docker
    zsh=$share/zsh/site-functions/_runai-docker
    fish=$share/fish/vendor_completions.d/runai-docker.fish
    put 0644 "$man" "$built" __man
    put 0644 "$bash" "$built" completion bash
    put 0644 "$zsh" "$built" completion zsh
    put 0644 "$fish" "$built" completion fish
    installed="$installed $man $bash $zsh $fish"
    ;;
esac
ln -sf "$folder/runai-docker" "$plugins/docker-runai"
echo "runai-docker is in $folder; docker runai is in $plugins"
echo "to remove it: rm $installed"
case ":$PATH:" in
*":$folder:"*) ;;
*) echo "$folder is not on your PATH: add it to call runai-docker by its name" ;;
esac
