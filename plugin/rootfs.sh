#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rootfs.sh PUBLISH SHIM ROOTFS: the plugin's root file system, from a self-contained publish and the shim's build
# folder. Besides them it holds just the shared libraries that they need, from the C library of $CC (gcc): no shell,
# no package manager, nothing else.
set -eu
publish=$1 shim=$2 rootfs=$3 cc=${CC:-gcc}
plugin=$rootfs/usr/lib/runai/plugin program=$rootfs/usr/lib/runai/plugin/runai-gpu-memory
libraries=$rootfs/lib/$($cc -print-multiarch)
rm -rf "$rootfs"
mkdir -p "$plugin" "$libraries" "$rootfs/run/docker/plugins" "$rootfs/var/lib/runai" "$rootfs/tmp" \
    "$rootfs/host/run" "$rootfs/host/dev" "$rootfs/host/usr" "$rootfs/host/etc" \
    "$rootfs/proc" "$rootfs/sys" "$rootfs/dev" "$rootfs/etc"
cp -a "$publish/." "$plugin/"
# The symbols, and (AOT=0) the debugger's and the tracer's halves of the runtime: no debugger attaches to a plugin.
rm -f "$program.debug" "$plugin"/libmscordaccore.so "$plugin"/libmscordbi.so "$plugin"/libcoreclrtraceptprovider.so \
    "$plugin"/libclrgc.so "$plugin"/libclrgcexp.so "$plugin"/createdump
install -m 0755 "$shim/stripped/librunai.so" "$rootfs/usr/lib/runai/librunai.so"
install -m 0755 -d "$rootfs/usr/share/doc/runai"
install -m 0644 "$(dirname "$0")/../LICENSE" "$(dirname "$0")/../NOTICE" "$rootfs/usr/share/doc/runai/"
if [ -d "$shim/quiet" ]; then
    install -m 0755 -d "$rootfs/usr/lib/runai/quiet"
    install -m 0644 "$shim"/quiet/* "$rootfs/usr/lib/runai/quiet/"
fi

needs() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p'; }
# Copies the library of that name, and those that it needs. The loader has its place already.
bring() {
    case $1 in ld-linux*) return ;; esac
    [ ! -e "$plugin/$1" ] && [ ! -e "$libraries/$1" ] || return 0
    cp -L "$($cc -print-file-name="$1")" "$libraries/$1"
    for name in $(needs "$libraries/$1"); do bring "$name"; done
}
loader=$(readelf -l "$program" | sed -n 's/.*program interpreter: \(.*\)\]$/\1/p')
mkdir -p "$rootfs$(dirname "$loader")"
cp -L "$($cc -print-file-name="$(basename "$loader")")" "$rootfs$loader"
for file in "$program" "$plugin"/*.so; do
    [ -e "$file" ] || continue # a native program comes without libraries
    for name in $(needs "$file"); do bring "$name"; done
done
# What NVML needs, which the plugin loads from the host.
for name in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1; do bring "$name"; done
