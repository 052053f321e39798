#!/bin/sh
# rootfs.sh PUBLISH SHIM ROOTFS: the plugin's root file system, from a self-contained publish and the shim's build
# folder. Besides them it holds just the shared libraries that they link to: no shell, no package manager, nothing else.
set -eu
publish=$1 shim=$2 rootfs=$3
rm -rf "$rootfs"
mkdir -p "$rootfs/usr/lib/runai/plugin" "$rootfs/run/docker/plugins" "$rootfs/var/lib/runai" "$rootfs/tmp" \
    "$rootfs/host/run" "$rootfs/host/dev" "$rootfs/host/usr" "$rootfs/host/etc" "$rootfs/proc" "$rootfs/sys" \
    "$rootfs/dev" "$rootfs/etc"
cp -a "$publish/." "$rootfs/usr/lib/runai/plugin/"
# The debugger's and the tracer's halves of the runtime: nobody can attach to a plugin.
rm -f "$rootfs"/usr/lib/runai/plugin/libmscordaccore.so "$rootfs"/usr/lib/runai/plugin/libmscordbi.so \
    "$rootfs"/usr/lib/runai/plugin/libcoreclrtraceptprovider.so "$rootfs"/usr/lib/runai/plugin/libclrgc.so \
    "$rootfs"/usr/lib/runai/plugin/libclrgcexp.so "$rootfs"/usr/lib/runai/plugin/createdump
install -m 0755 "$shim/stripped/librunai.so" "$rootfs/usr/lib/runai/librunai.so"
install -m 0755 -d "$rootfs/usr/share/doc/runai"
install -m 0644 "$(dirname "$0")/../LICENSE" "$(dirname "$0")/../NOTICE" "$rootfs/usr/share/doc/runai/"
if [ -d "$shim/quiet" ]; then
    install -m 0755 -d "$rootfs/usr/lib/runai/quiet"
    install -m 0644 "$shim"/quiet/* "$rootfs/usr/lib/runai/quiet/"
fi
# ldd's third column is the file that the loader found; the loader itself stands in the first. NVML, which the plugin
# loads from the host, links to the same few.
{
    ldd "$rootfs"/usr/lib/runai/plugin/*.so "$rootfs/usr/lib/runai/plugin/runai-gpu-memory" |
        awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\/lib.*ld-linux/ { print $1 }'
    ldconfig -p | awk '$1 ~ /^(libdl|libpthread|librt)\.so/ && /x86-64|AArch64/ { print $NF }'
} | grep -v '/runai/' | sort -u | while read -r library; do
    mkdir -p "$rootfs$(dirname "$library")"
    cp -L "$library" "$rootfs$library"
done
