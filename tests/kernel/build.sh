#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Builds the stand-in modules and the Onload releases of the kernel tests.
#
#   build.sh OUT [KVER]     KVER: a kernel whose headers are installed; by default the newest one
#
# Quiet unless it fails. The source tree stays clean; a second run compiles only what changed and
# makes everything else under OUT anew.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

fail() { # WHAT WHY FIX
    printf 'error: %s\n  why: %s\n  fix: %s\n' "$1" "$2" "$3" >&2
    exit 1
}
newest_headers() {
    local dir
    for dir in /lib/modules/*/build/; do
        [[ -d $dir ]] && basename "$(dirname "$dir")"
    done | sort -V | tail -1
}

[[ $# -ge 1 && $# -le 2 ]] || { echo "usage: $0 OUT [KVER]" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
kver=${2:-$(newest_headers)}
headers=/lib/modules/$kver/build
[[ -n $kver && -d $headers/ ]] || fail "the kernel modules of the tests are not built" \
    "there is no $headers" "install the package linux-headers-${kver:-of-some-kernel}"
for tool in make gcc objcopy depmod flock; do
    command -v $tool >/dev/null || PATH=$PATH:/usr/sbin:/sbin
    command -v $tool >/dev/null || fail "the kernel modules of the tests are not built" \
        "$tool is not there" "install gcc, make, binutils, kmod and util-linux"
done

exec 9>"$out/.lock"
flock 9
work=$out/.build/$kver
mkdir -p "$work"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# One variant of the modules, in a directory of its own that links to the sources.
compile() { # VARIANT [MAKE-ARGUMENT...]
    local variant=$1 dir=$work/$1
    shift
    mkdir -p "$dir"
    cp -rsf "$here"/{Kbuild,include,card,sfc,sfc_resource,sfc_char,onload} "$dir/"
    make -s -j"$(nproc)" -C "$headers" M="$dir" VARIANT="$variant" "$@" modules \
        >"$dir/log" 2>&1 || { cat "$dir/log" >&2; fail "variant $variant is not built" \
        "the compiler says why above" "use the headers of a kernel this builds with, such as 6.1"; }
}
compile_program() { # OUTPUT SOURCE [FLAG...]
    local to=$1 from=$2
    shift 2
    gcc -Os -s -Wall -Wextra -I"$here/include" "$@" -o "$to" "$here/$from"
}

# The digest of a release's interface between user library and driver.
interface_of() { printf 'interface of %s' "$1" | md5sum | cut -c1-32; }

section() { # KO SECTION: into $scratch/section
    objcopy --dump-section "$2=$scratch/section" "$1" "$scratch/unused"
}
replace_section() { # KO SECTION
    objcopy --update-section "$2=$scratch/section" "$1"
}
# Edits the strings by which a module describes itself: modinfo KO SED-SCRIPT
edit_modinfo() {
    section "$1" .modinfo
    sed -zi "$2" "$scratch/section"
    replace_section "$1" .modinfo
}

# Makes a compiled module one of a release: its version, source digest, build id and interface.
# A module without a version of its own gets the build id only.
stamp() { # FROM TO VERSION INTERFACE
    local digest
    cp "$1" "$2"
    digest=$(printf '%s %s' "$(basename "$2")" "$3" | sha1sum | cut -c1-40)
    # The kernel's packages ship modules without debug information.
    objcopy --strip-debug "$2"
    edit_modinfo "$2" "/^\$/d; s/^version=.*/version=$3/; s/^srcversion=.*/srcversion=${digest:0:23}/"
    section "$2" .note.gnu.build-id
    { head -c16 "$scratch/section"; printf '%b' "$(sed 's/../\\x&/g' <<<"$digest")"; } >"$scratch/note"
    mv "$scratch/note" "$scratch/section"
    replace_section "$2" .note.gnu.build-id
    if [[ $(basename "$2") == onload.ko ]]; then
        printf '%s\0' "$4" >"$scratch/section"
        replace_section "$2" .onload_stamp
    fi
    chmod 744 "$2"
}

# An installed tree of one release.
release() { # NAME SFC-VERSION [SFC-VARIANT [ONLOAD-VARIANT]]
    local name=$1 sfc=$2 root=$out/releases/$1 interface
    local modules=$root/lib/modules/$kver/extra
    interface=$(interface_of "$name")
    mkdir -p "$modules" "$root"/{sbin,usr/bin,usr/lib64,usr/libexec/onload/profiles}
    stamp "$work/${3:-good}/sfc.ko" "$modules/sfc.ko" "$sfc" "$interface"
    stamp "$work/good/sfc_resource.ko" "$modules/sfc_resource.ko" "$name" "$interface"
    stamp "$work/good/sfc_char.ko" "$modules/sfc_char.ko" "$name" "$interface"
    stamp "$work/${4:-good}/onload.ko" "$modules/onload.ko" "$name" "$interface"
    library "$name" "$interface"
    compile_program "$root/usr/lib64/libonload_ext.so.2" libonload_ext.c \
        -shared -fPIC -Wl,-soname,libonload_ext.so.2
    cp "$work/onload_cp_server" "$here/release/onload_tool" "$root/sbin/"
    sed "s/@VERSION@/$name/" "$here/release/onload" >"$root/usr/bin/onload"
    chmod 755 "$root/usr/bin/onload"
    cp "$here/release/latency.opf" "$root/usr/libexec/onload/profiles/"
}
library() { # NAME INTERFACE
    compile_program "$out/releases/$1/usr/lib64/libonload.so" libonload.c -shared -fPIC \
        -DONLOAD_VERSION="\"$1\"" -DONLOAD_UK_INTF_VER="\"$2\"" -Wl,-soname,libonload.so
}
modules_of() { printf '%s\n' "$out/releases/$1/lib/modules/$kver/extra/"*.ko; }

# For another release of the kernel, which modversions excuses: the checksums decide.
rename_vermagic() { edit_modinfo "$1" 's/^vermagic=[^ ]*/vermagic=6.1.0-1-other/'; }
# For another build of the kernel: flags after the release differ, which nothing excuses.
spoil_vermagic() { edit_modinfo "$1" 's/^\(vermagic=[^ ]*\) .*/\1 SMP mod_unload modversions /'; }

# For a kernel with other structures: the checksum of a symbol is not this kernel's. An entry of
# the table is eight bytes of checksum, then the name.
spoil_checksum() { # KO SYMBOL
    local at
    section "$1" __versions
    at=$(grep -obUaP "\\x00$2\\x00" "$scratch/section" | cut -d: -f1)
    at=$((${at:?$2 is not in $1} + 1))
    printf '\xde\xad\xbe\xef' | dd of="$scratch/section" bs=1 seek=$((at - 8)) conv=notrunc status=none
    replace_section "$1" __versions
}

compile good
compile in-tree
compile stuck
compile noaux
compile noinsert KBUILD_EXTRA_SYMBOLS="$work/good/Module.symvers"
compile_program "$work/onload_cp_server" cp_server.c -static
compile_program "$work/onload_holder" holder.c -static

rm -rf "$out"/{card,in-tree,releases,host,kmm}
mkdir -p "$out"/{card,in-tree,releases}
objcopy --strip-debug "$work/good/onloadd_card.ko" "$out/card/onloadd_card.ko"
objcopy --strip-debug "$work/in-tree/sfc.ko" "$out/in-tree/sfc.ko"

release 9.1.2 6.2.1.1006
release 9.2.1 6.4.0.1003
release 9.2.2-otherkernel 6.4.1.1000
for ko in $(modules_of 9.2.2-otherkernel); do rename_vermagic "$ko"; done
release 9.3.0-vermagic 6.5.0.1000
for ko in $(modules_of 9.3.0-vermagic); do spoil_vermagic "$ko"; done
release 9.3.1-crc 6.5.1.1000
# The kernel answers ENOEXEC for module_layout, which every module has, and EINVAL for others.
for ko in $(modules_of 9.3.1-crc); do
    [[ $ko == */sfc.ko ]] && symbol=module_layout || symbol=__fentry__
    spoil_checksum "$ko" $symbol
done
release 9.3.2-noaux 6.5.2.1000 noaux
release 9.3.3-stuck 6.5.3.1000 stuck
release 9.3.4-noinsert 6.5.4.1000 good noinsert
release 9.3.5-mismatch 6.5.5.1000
library 9.3.5-mismatch "$(interface_of 'another release')"
release 9.3.6-incomplete 6.5.6.1000
rm "$out/releases/9.3.6-incomplete/lib/modules/$kver/extra/sfc_char.ko"

# What the vendor's packages put beside the modules, and a program that uses Onload.
install -D -m 644 "$here/host/modprobe.conf" "$out/host/etc/modprobe.d/onload.conf"
install -D -m 644 "$here/host/sysusers.conf" "$out/host/usr/lib/sysusers.d/onload.conf"
install -D "$here/release/onload_tool" "$out/host/usr/sbin/onload_tool"
install -D "$work/onload_cp_server" "$out/host/usr/sbin/onload_cp_server"
install -D "$work/onload_holder" "$out/host/usr/bin/onload_holder"

# The tree of a KMM image: /opt/lib/modules, in-tree modules through a link to the node's.
tree=$out/kmm/opt/lib/modules/$kver
mkdir -p "$tree"
cp -r "$out/releases/9.2.1/lib/modules/$kver/extra" "$tree/extra"
touch "$tree"/modules.{order,builtin,builtin.modinfo}
depmod -b "$out/kmm/opt" "$kver"
ln -s "/lib/modules/$kver/kernel" "$tree/kernel"
