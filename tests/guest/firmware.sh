#!/bin/bash
# Fetches what a Secure Boot guest is started by, unless it is there already, and prints the directory it is in:
#
#   code.fd  OVMF with Secure Boot and SMM; variables.fd  its variables, with Microsoft's keys
#   esp/  what is on every boot disk: shim, MokManager and GRUB as the distribution signs them
#
# `firmware.sh --check` fetches too, and says on one line why none can be had here, or nothing; root and others
# are told the same.
# The packages are unpacked, not installed: to install shim and GRUB on a machine is to change how it boots. Kept
# beside the guests' root (see root.sh), under a name that tells what it was made from.
set -euo pipefail
cd "$(dirname "$0")/../.."

PACKAGES=(ovmf shim-signed shim-helpers-amd64-signed grub-efi-amd64-signed)
# Kits of other inputs that stay, as in root.sh.
KEEP=3

fail() { # WHAT WHY FIX
    printf 'error: %s\n  why: %s\n  fix: %s\n' "$1" "$2" "$3" >&2
    exit 1
}
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
key=$({ cat tests/guest/firmware.sh; echo "$codename"; } | sha256sum | cut -c 1-16)
cache=${ONLOADD_GUEST_CACHE:-${CARGO_TARGET_DIR:-target}/guest}
kit=$cache/firmware-$key

# What firmware cannot be had for: a reason to skip for who only asks, and an error otherwise.
unavailable() { # WHY
    if [[ $check ]]; then
        echo "$1"
        exit
    fi
    fail "no firmware for Secure Boot guests" "$1" "repair the package sources and run 'apt-get update'"
}

# Each package that apt gives no file of.
fetch() { # DIRECTORY
    local package
    for package in "${PACKAGES[@]}"; do
        (cd "$1" && apt-get -q download "$package") >&2 || echo "$package"
    done
}

build() { # DIRECTORY
    local work=$1 tree=$1/tree deb missing
    mkdir -p "$work/debs" "$work"/esp/EFI/{BOOT,debian}
    missing=$(fetch "$work/debs")
    # Lists may be missing, or name what the mirror has replaced since.
    if [[ $missing ]] && apt-get -q update >&2; then
        rm -f "$work"/debs/*
        missing=$(fetch "$work/debs")
    fi
    [[ -z $missing ]] || unavailable "apt here gives no ${missing//$'\n'/, no }"
    for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$tree"; done
    cp "$tree/usr/share/OVMF/OVMF_CODE_4M.ms.fd" "$work/code.fd"
    cp "$tree/usr/share/OVMF/OVMF_VARS_4M.ms.fd" "$work/variables.fd"
    # The name firmware looks for on a disk it has never seen, and those that shim looks for beside itself.
    cp "$tree/usr/lib/shim/shimx64.efi.signed" "$work/esp/EFI/BOOT/BOOTX64.EFI"
    cp "$tree/usr/lib/shim/mmx64.efi.signed" "$work/esp/EFI/BOOT/mmx64.efi"
    cp "$tree/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "$work/esp/EFI/BOOT/grubx64.efi"
    rm -rf "$tree" "$work/debs"
}

check=
[[ ${1-} != --check ]] || check=yes
missing=()
for tool in mformat mcopy; do
    command -v "$tool" >/dev/null || missing+=("$tool (package mtools)")
done
((${#missing[@]} == 0)) || unavailable "not installed: ${missing[*]}"
if [[ ! -e $kit ]]; then
    mkdir -p "$cache"
    exec 9>"$cache/firmware.lock"
    flock 9
    # Somebody may have made it meanwhile.
    if [[ ! -e $kit ]]; then
        # Those of runs that were killed: nobody else builds while the lock is held.
        rm -rf "$cache"/.firmware-*
        work=$(mktemp -d "$cache/.firmware-XXXXXX")
        trap 'rm -rf "$work"' EXIT
        # apt fetches as a user of its own, where it can.
        chmod 0755 "$work"
        build "$work"
        mv -T "$work" "$kit"
        # shellcheck disable=SC2012 # the names are ours
        ls -td "$cache"/firmware-*/ | tail -n +$((KEEP + 1)) | xargs -r rm -rf
    fi
fi
touch "$kit"
[[ $check ]] || echo "$kit"
