#!/bin/sh
# get.sh [FOLDER]: installs runai-docker into FOLDER, and as the Docker CLI plugin `docker runai`.
#   as root     FOLDER is /usr/local/bin; the CLI plugin is for all users
#   otherwise   FOLDER is ~/.local/bin; the CLI plugin is yours alone
#   DOCKER_CLI_PLUGINS  another folder for the CLI plugin
# It writes FOLDER/runai-docker, and a link to it: as root /usr/local/lib/docker/cli-plugins/docker-runai,
# otherwise ~/.docker/cli-plugins/docker-runai. To remove it, remove these two.
set -eu
case ${1:-} in
-h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
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
sed "s/@VERSION@/$version/" "$here/runai-docker" >"$folder/runai-docker.new"
chmod 0755 "$folder/runai-docker.new"
mv "$folder/runai-docker.new" "$folder/runai-docker"
ln -sf "$folder/runai-docker" "$plugins/docker-runai"
echo "runai-docker is in $folder; docker runai is in $plugins"
echo "to remove both: rm $folder/runai-docker $plugins/docker-runai"
case ":$PATH:" in
*":$folder:"*) ;;
*) echo "$folder is not on your PATH: add it to call runai-docker by its name" ;;
esac
