#!/bin/bash
# Installs what building and testing need and this machine lacks; does nothing where all is there.
# Debian family: tried. Fedora family: untried.
set -euo pipefail
cd "$(dirname "$0")/.."
# Tools of an administrator are looked for too, whoever asks.
PATH=$PATH:/usr/sbin:/sbin

fail() { # WHAT WHY FIX
    printf 'error: %s\n  why: %s\n  fix: %s\n' "$1" "$2" "$3" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Needs are asked for by what they do, not by package name, so that any other way of having them counts.
# lack DEBIAN-PACKAGE FEDORA-PACKAGE TEST...
debian=() fedora=()
lack() {
    local deb=$1 rpm=$2
    shift 2
    "$@" >/dev/null 2>&1 || { debian+=("$deb"); fedora+=("$rpm"); }
}
udev_headers() { have pkg-config && pkg-config --exists libudev; }
libc_headers() { have cc && echo '#include <stdlib.h>' | cc -E -; }

lack gcc gcc have cc
lack libc6-dev glibc-devel libc_headers
lack pkg-config pkgconf-pkg-config have pkg-config
lack libudev-dev systemd-devel udev_headers  # the daemon links libudev
lack dbus-daemon dbus-daemon have dbus-daemon # private buses
lack systemd systemd have busctl              # bus calls; also systemd-analyze, systemd-tmpfiles
lack iproute2 iproute have ip                 # interfaces that come and go, in a namespace
lack util-linux util-linux have unshare       # the namespace; also setpriv, setsid
lack bsdutils util-linux have script          # terminals at which a test types
lack kmod kmod have modinfo                   # what a signed module says of itself
lack gzip gzip have gzip
lack openssl openssl have openssl             # keys and signatures, in the product as well

# What only the guests of level 5 need, and single tests. Guests run Debian, made by Debian's tools, so
# elsewhere that level is skipped; so it is where nobody may install them.
openssl_tokens() { openssl engine pkcs11 || openssl list -providers -provider pkcs11; }
kernel_headers() { compgen -G '/lib/modules/*-amd64/build/Makefile'; }
if [[ $(uname -m) == x86_64 ]] && (. /etc/os-release && [[ $ID == debian ]]); then
    needed=${#debian[@]}
    lack qemu-system-x86 - have qemu-system-x86_64
    lack debootstrap - have debootstrap
    lack linux-headers-amd64 - kernel_headers # of the kernel that guests boot
    lack binutils - have strip
    lack cpio - have cpio
    lack e2fsprogs - have mkfs.ext4
    lack make - have make
    lack mtools - have mformat # boot disks of Secure Boot guests
    lack mokutil - have mokutil # requests to shim, beside ours
    # What releases and images of an early root come in; tests that miss one say so.
    lack podman - have podman
    # Packages: rpmbuild makes them, dnf takes them out of a repository, rpmlint looks through them, and the policy
    # of SELinux is compiled.
    lack rpm - have rpmbuild
    lack dnf - have dnf
    lack createrepo-c - have createrepo_c
    lack rpmlint - have rpmlint
    lack selinux-policy-dev - test -e /usr/share/selinux/devel/Makefile
    lack semodule-utils - have semodule_package
    lack xz-utils - have xz
    lack zstd - have zstd
    lack lz4 - have lz4
    lack bzip2 - have bzip2
    # Keys in tokens, and attributes that a signed module keeps.
    lack softhsm2 - have softhsm2-util
    lack libengine-pkcs11-openssl - openssl_tokens
    lack attr - have setfattr
    # Clocks: programs whose numbers stand beside ours. Their services are neither started nor enabled below. Where
    # another program keeps the time, chrony would take its place, so there it is not asked for.
    lack linuxptp - have ptp4l
    keeps_time() { have chronyd || [[ -e /lib/systemd/systemd-timesyncd ]] || have ntpd; }
    lack chrony - keeps_time
    if ((EUID != 0 && ${#debian[@]} > needed)); then
        echo "setup: level 5 and single tests will be skipped: they need ${debian[*]:needed}"
        debian=("${debian[@]:0:needed}") fedora=("${fedora[@]:0:needed}")
    fi
fi

if ((${#debian[@]})); then
    if have apt-get; then
        packages=("${debian[@]}")
        commands=("apt-get update" "apt-get install -y --no-install-recommends ${packages[*]}")
    elif have dnf; then
        packages=("${fedora[@]}")
        commands=("dnf install -y ${packages[*]}")
    else
        fail "this machine is not set up" "missing: ${debian[*]} (names as in Debian)" \
            "install them with this system's package tool"
    fi
    if ((EUID != 0)); then
        fail "this machine is not set up" "missing: ${packages[*]}" \
            "$(printf 'sudo %s && ' "${commands[@]}" | sed 's/ && $//')"
    fi
    echo "setup: installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # No service is started by its installation (invoke-rc.d(8)).
    policy=/usr/sbin/policy-rc.d
    if have apt-get && [[ ! -e $policy ]]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 0755 "$policy"
    fi
    for command in "${commands[@]}"; do
        $command </dev/null || fail "cannot install ${packages[*]}" "'$command' failed (its output is above)" \
            "repair the package sources and run 'make setup' again"
    done
    # Only its program was wanted: nobody asked for another keeper of the time at the next boot.
    [[ " ${packages[*]} " != *" chrony "* ]] || ! have systemctl || systemctl --quiet disable chrony || true
fi

# Rust is not installed behind anybody's back: distributions mostly carry an older one, and which
# toolchain is right is the owner's choice.
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
rustup="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . ~/.cargo/env"
have cargo || fail "this machine is not set up" "cargo is missing; Rust $wanted or later is needed" "$rustup"
actual=$(rustc --version | cut -d ' ' -f 2)
[[ $(printf '%s\n' "$wanted" "${actual%%-*}" | sort -V | head -n 1) == "$wanted" ]] ||
    fail "this machine is not set up" "Rust is $actual; $wanted or later is needed" "rustup update stable, or: $rustup"
