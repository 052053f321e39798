#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# image.sh [EXTRA-FILE...]: writes to standard output the tar of a small root file system, made of this machine's own
# programs (a shell, coreutils and a few others, with the libraries they need): an image without a registry. `image.sh |
# docker import - NAME`.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p usr/bin usr/sbin usr/lib usr/lib64 etc tmp proc dev sys run root var
ln -s usr/bin bin
ln -s usr/sbin sbin
ln -s usr/lib lib
ln -s usr/lib64 lib64
chmod 1777 tmp
printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n' >etc/passwd
printf 'root:x:0:\nuser:x:1000:\n' >etc/group
add() {
    mkdir -p ".$(dirname "$1")"
    cp -L "$1" ".$1"
}
for name in bash sh env cat ls cp mv rm ln mkdir touch chmod dd head tail sleep true false echo test id stat sync \
    timeout sort seq \
    wc grep sed mount umount ps kill setsid unshare tr date readlink mknod "$@"; do
    file=$(command -v "$name") || continue
    case $file in /*) ;; *) file=/usr/bin/$name ;; esac
    file=$(readlink -f "$(dirname "$file")")/$(basename "$file")
    add "$file"
    ldd "$file" 2>/dev/null | awk '$3 ~ /^\// { print $3 } $1 ~ /^\/lib/ { print $1 }'
done | sort -u | while read -r library; do add "$library"; done
# What GPU programs link to and none of the above may.
ldconfig -p | awk '$1 ~ /^lib(dl|pthread|rt|m|c|gcc_s)\.so\.[0-9]+$/ && !/\(libc6\)/ && !/x32/ { print $NF }' |
    sort -u |
    while read -r library; do add "$library"; done
tar -c .
