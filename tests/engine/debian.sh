#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# debian.sh SUITE FOLDER PACKAGE[:ARCHITECTURE]...: the .deb files of packages of any Debian suite, from the archive
# that this machine's apt uses. Nothing is installed, and apt's own lists stay as they are.
set -euo pipefail
suite=$1 folder=$2
shift 2
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m1 '/debian/\?$') || {
    echo "debian: no Debian archive among apt's sources" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$folder"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main contrib" >"$work/sources.list"
apt=(apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=-
    -o Dir::State::Lists="$work/lists" -o Dir::State::status=/dev/null -o Dir::Cache::pkgcache=
    -o Dir::Cache::srcpkgcache= -o Acquire::Languages=none -o APT::Sandbox::User=root
    -o APT::Architectures::="$(dpkg --print-architecture)")
for architecture in $(printf '%s\n' "$@" | sed -n 's/.*://p' | sort -u); do
    apt+=(-o APT::Architectures::="$architecture")
done
"${apt[@]}" update
cd "$folder"
"${apt[@]}" download "$@"
