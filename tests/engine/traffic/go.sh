#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# go.sh FOLDER SOURCE PROGRAM: builds a program with Debian's packages of Docker's Go SDK and of go-dockerclient, the
# few of their 250 that it takes, which are unpacked in FOLDER.
set -eu
folder=$1 source=$2 program=$3
if [ ! -e "$folder/had" ]; then
    rm -rf "$folder"
    "$(dirname "$0")/../debian.sh" bookworm \
        "$folder/debs" golang-github-docker-docker-dev golang-github-fsouza-go-dockerclient-dev \
        golang-github-containerd-containerd-dev golang-github-docker-distribution-dev \
        golang-github-docker-go-connections-dev golang-github-docker-go-units-dev golang-github-gogo-protobuf-dev \
        golang-github-moby-sys-dev golang-github-moby-term-dev golang-github-morikuni-aec-dev \
        golang-github-opencontainers-go-digest-dev golang-github-opencontainers-image-spec-dev \
        golang-github-opencontainers-runc-dev golang-github-pkg-errors-dev golang-github-sirupsen-logrus-dev \
        golang-golang-x-net-dev golang-golang-x-sys-dev
    for package in "$folder"/debs/*.deb; do dpkg -x "$package" "$folder"; done
    touch "$folder/had"
fi
GO111MODULE=off GOFLAGS='' GOCACHE=$folder/cache GOPATH=$folder/usr/share/gocode \
    go build -o "$program" "$source" "$(dirname "$source")/steps.go"
