#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# suite-images.sh SUITE FOLDER: root file systems with that Debian suite's C library and a shell, as FOLDER/SUITE.tar,
# and with its 32-bit C library and shell (busybox32) beside them as FOLDER/SUITE-i386.tar: for `docker import`.
set -euo pipefail
suite=$1 folder=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
"$(dirname "$0")/debian.sh" "$suite" "$work/debs" libc6 busybox libc6:i386 busybox:i386

# libraries ARCHITECTURE: the C library's own files, without what converts character sets.
libraries() {
    dpkg-deb --fsys-tarfile "$work"/debs/libc6_*_"$1".deb |
        tar -x -C "$root" --exclude='./usr/share' --exclude='*/gconv'
}

# shell ARCHITECTURE NAME
shell() {
    dpkg -x "$work"/debs/busybox_*_"$1".deb "$work/$1"
    install -D "$(find "$work/$1" -name busybox -type f -perm -1)" "$root/usr/bin/$2"
}

# What packages of before the merge of /usr put beside it stays there.
finish() {
    local name
    for name in bin lib lib64; do [ -e "$root/$name" ] || ln -s "usr/$name" "$root/$name"; done
    tar -C "$root" -cf "$folder/$suite$1.tar" .
}

mkdir -p "$folder" "$root"/{etc,proc,dev,sys,tmp,run}
libraries amd64
shell amd64 busybox
for name in sh env cat sleep true; do ln -s busybox "$root/usr/bin/$name"; done
finish ""
libraries i386
shell i386 busybox32
finish -i386
