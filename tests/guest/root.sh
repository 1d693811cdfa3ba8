#!/bin/bash
# Builds the Debian root that test guests boot, unless it is there already, and prints the directory it is in:
#
#   vmlinuz  kernel of the version whose headers are installed here, so that modules built against those fit
#   root.cpio  the root, an initramfs (of rdinit=/sbin/init)
#   var.ext4  what is /var in it: a sparse disk, which each guest gets a copy of
#   kver  the kernel's version
#
# It holds Debian's packages and nothing of this project's: that is laid over it, see overlay.sh.
# `root.sh --check` says on one line why none can be had here, or nothing.
# Packages come from where this machine's own apt gets Debian's. Kept below $ONLOADD_GUEST_CACHE, by default
# guest/ in the target directory, under a name that tells what it was made from.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Where Debian keeps an administrator's tools, which are not on everybody's path.
PATH=$PATH:/usr/sbin:/sbin

# More packages: add them here.
PACKAGES=(
    systemd systemd-sysv udev dbus polkitd kmod procps # what a node has
    xz-utils zstd                                      # archives of releases
    iproute2 ethtool                                   # looking at interfaces
    network-manager                                    # what owns them on many nodes; off until a case starts it
    chrony linuxptp                                    # what steers clocks on many nodes; off likewise
    util-linux e2fsprogs                               # mounting /var
    mokutil keyutils openssl                           # Secure Boot, looked at by others' tools; keys
    rpm-common                                         # the libraries of rpm, without what builds packages
)
# Others that steer clocks. apt installs one of them at a time, so of these the files are laid in: what runs,
# off until a case starts it. And what sets the kernel's own flags, without the service that does so at boot.
RIVALS=(systemd-timesyncd ntpsec adjtimex)
RIVAL_FILES=(
    lib/systemd/systemd-timesyncd lib/systemd/system/systemd-timesyncd.service etc/systemd/timesyncd.conf
    usr/lib/sysusers.d/systemd-timesync.conf usr/share/dbus-1/system.d/org.freedesktop.timesync1.conf
    usr/sbin/ntpd lib/systemd/system/ntpsec.service usr/libexec/ntpsec/ntp-systemd-wrapper
    etc/ntpsec/ntp.conf etc/default/ntpsec sbin/adjtimex
)
# The program alone: its package brings Perl.
RPM_FILES=(usr/bin/rpm)
# Of the kernel's modules, those below these paths, and whatever they need. Of network drivers only those that
# QEMU has cards for, virtual ones, and sfc.
MODULES='^kernel/(crypto/|lib/|arch/x86/crypto/crc|net/(core|sched|bridge|8021q|802|llc|packet|unix|xdp|ipv4|ipv6|netfilter|9p|sunrpc|vmw_vsock|openvswitch|tls)/
|fs/(ext4|jbd2|9p|nfs|nfs_common|lockd|overlayfs|fat|nls|fuse|squashfs|efivarfs|configfs|autofs)/
|drivers/net/[^/]*\.ko|drivers/net/(bonding|ipvlan|team|vxlan|mdio|phy|pcs)/
|drivers/net/ethernet/(sfc/|intel/(e1000|e1000e|igb|igbvf)/)
|drivers/(ptp|pps|mtd|i2c|hwmon|virtio|vdpa|vhost|vfio|dca|iommu|char/hw_random|char/tpm)/
|drivers/(block/(virtio_blk|loop|zram)\.ko|char/virtio_console\.ko|scsi/[^/]*iscsi|nvdimm|dax)
|drivers/scsi/(scsi_mod|sd_mod|virtio_scsi)\.ko)'
# Room for journals, releases and ledgers; sparse, so it costs what is in it.
VAR_SIZE=1G
# Roots of other inputs that stay: those of the branches somebody may be going back and forth between.
KEEP=3

fail() { # WHAT WHY FIX
    printf 'error: %s\n  why: %s\n  fix: %s\n' "$1" "$2" "$3" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# The newest kernel whose headers are here, with the architecture in its name.
kernel() {
    local build
    for build in /lib/modules/*-amd64/build; do
        [[ -e $build/Makefile ]] && basename "${build%/build}"
    done | grep -v -e cloud -e rt | sort -V | tail -n 1
}
codename=$(. /etc/os-release && [[ $ID == debian ]] && echo "${VERSION_CODENAME:-}") || codename=
kver=$(kernel)
key() { # Of everything that decides what the root is.
    { cat tests/guest/root.sh; echo "$codename $kver"; } | sha256sum | cut -c 1-16
}
cache=${ONLOADD_GUEST_CACHE:-${CARGO_TARGET_DIR:-target}/guest}
root=$cache/root-$(key)

lacking() {
    local tool missing=()
    [[ $(uname -m) == x86_64 ]] || { echo "guests are x86-64, this machine is not"; return; }
    # The programs under test were linked here and run there.
    [[ $codename ]] || { echo "guests run Debian, and programs built on another system do not run there"; return; }
    [[ $kver ]] || { echo "no kernel headers (linux-headers-amd64) are installed"; return; }
    for tool in qemu-system-x86_64 cpio make strip setpriv; do have "$tool" || missing+=("$tool"); done
    if [[ ! -e $root/kver ]]; then
        for tool in debootstrap mkfs.ext4 depmod flock chroot; do have "$tool" || missing+=("$tool"); done
        ((${#missing[@]})) || ((EUID == 0)) || { echo "making a guest's root takes root rights"; return; }
    fi
    ((${#missing[@]} == 0)) || echo "not installed: ${missing[*]}"
}

# The places Debian's packages come from here, as lines of sources.list.
sources() {
    local format='$(REPO_URI) $(RELEASE) $(COMPONENT)'
    apt-get indextargets --format "$format" 'Created-By: Packages' 'Origin: Debian' | sort -u |
        awk -v key=/usr/share/keyrings/debian-archive-keyring.gpg '$3 == "main" { print "deb [signed-by=" key "]", $1, $2, $3 }'
}

build() { # DIRECTORY
    local work=$1 tree=$1/tree mirror
    [[ $(sources) ]] || apt-get update >&2
    mirror=$(sources | awk -v suite="$codename" '$4 == suite { print $3; exit }')
    [[ $mirror ]] || fail "no root for test guests" "apt here knows no source of Debian $codename" "add one and run 'apt-get update'"

    debootstrap --variant=minbase "$codename" "$tree" "$mirror" >&2
    sources >"$tree/etc/apt/sources.list"
    # Proxies, certificates and name servers as here, while packages are fetched.
    cp -a /etc/apt/apt.conf.d/. "$tree/etc/apt/apt.conf.d/"
    cp -L /etc/resolv.conf "$tree/etc/resolv.conf"
    if [[ -e /etc/ssl/certs/ca-certificates.crt ]]; then
        install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
    fi
    printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
    chmod 0755 "$tree/usr/sbin/policy-rc.d"
    echo force-unsafe-io >"$tree/etc/dpkg/dpkg.cfg.d/unsafe-io"
    inside() { LC_ALL=C DEBIAN_FRONTEND=noninteractive chroot "$tree" "$@" </dev/null >&2; }
    inside apt-get -q update
    inside apt-get -q install -y --no-install-recommends "${PACKAGES[@]}"
    rivals "$work/rivals" "$tree"
    inside sh -c 'cd /tmp && apt-get -q download rpm'
    dpkg-deb -x "$tree"/tmp/rpm_*.deb "$work/rpm"
    tar -C "$work/rpm" -c "${RPM_FILES[@]}" | tar -C "$tree" -x --keep-directory-symlink --no-overwrite-dir
    # Unpacked, not installed: installing makes an initramfs, which takes long and nobody boots.
    inside sh -c "cd /tmp && apt-get -q download 'linux-image-$kver'" ||
        fail "no kernel for test guests" "the package linux-image-$kver of the installed headers is not to be had" \
            "install the linux-headers-amd64 that 'apt-get update' now offers"
    dpkg-deb -x "$tree"/tmp/linux-image-*.deb "$work/kernel"
    mv "$work/kernel/boot/vmlinuz-$kver" "$work/vmlinuz"
    chmod 0644 "$work/vmlinuz"

    modules "$work/kernel" "$tree"
    prune "$tree"
    settle "$tree"
    mkfs.ext4 -q -F -L guest-var -m 0 -E lazy_itable_init=0,lazy_journal_init=1 -d "$tree/var" "$work/var.ext4" "$VAR_SIZE" >&2
    find "$tree/var" -mindepth 1 -delete
    (cd "$tree" && find . -print0 | cpio --null --quiet -o -H newc) >"$work/root.cpio"
    rm -rf "$tree" "$work/kernel" "$work/rivals" "$work/rpm"
    echo "$kver" >"$work/kver"
}

# Lays in what RIVALS run, with whom they run as.
rivals() { # TO_UNPACK TREE
    local package
    inside sh -c "cd /tmp && apt-get -q download ${RIVALS[*]}"
    for package in "${RIVALS[@]}"; do dpkg-deb -x "$2"/tmp/"$package"_*.deb "$1"; done
    tar -C "$1" -c "${RIVAL_FILES[@]}" | tar -C "$2" -x --keep-directory-symlink --no-overwrite-dir
    inside systemd-sysusers
    inside useradd --system --no-create-home --home-dir /var/lib/ntpsec ntpsec
    inside install -d -o ntpsec -g ntpsec /var/lib/ntpsec /var/log/ntpsec
}

# Copies what MODULES asks for, with all that needs.
modules() { # FROM TO
    depmod -b "$1" "$kver"
    awk -v keep="$(tr -d '\n' <<<"$MODULES")" '
        { name = $1; sub(/:$/, "", name); needs[name] = substr($0, length($1) + 1); if (name ~ keep) wanted[name] = 1 }
        END { for (name in wanted) { print name; n = split(needs[name], all, " "); for (i = 1; i <= n; i++) print all[i] } }
    ' "$1/lib/modules/$kver/modules.dep" | sort -u >"$1/wanted"
    install -d "$2/usr/lib/modules/$kver"
    cp "$1/lib/modules/$kver"/modules.{builtin,builtin.modinfo,order} "$2/usr/lib/modules/$kver/"
    (cd "$1/lib/modules/$kver" && cpio --quiet -pdm "$2/usr/lib/modules/$kver" <"$1/wanted")
    depmod -b "$2" "$kver"
}

# What no test reads; each megabyte is one more for an emulated processor to unpack.
prune() { # TREE
    rm -rf "$1"/usr/share/{doc,man,locale,info,lintian,bash-completion,common-licenses,zoneinfo,i18n} \
        "$1"/usr/lib/x86_64-linux-gnu/{gconv,perl-base} "$1"/usr/lib/apt "$1"/usr/lib/locale \
        "$1"/usr/lib/python3* "$1"/usr/share/perl* "$1"/usr/lib/systemd/catalog \
        "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/* "$1"/var/lib/dpkg/info \
        "$1"/etc/ssl/certs/ca-certificates.crt "$1"/etc/apt/{apt.conf.d,sources.list} "$1"/etc/dpkg/dpkg.cfg.d/unsafe-io \
        "$1"/usr/sbin/policy-rc.d "$1"/etc/resolv.conf "$1"/tmp/* "$1"/boot/* "$1"/usr/bin/apt* "$1"/usr/bin/perl* \
        "$1"/etc/init.d/*
    # Of NetworkManager what serves other links than Ethernet, and its text interface.
    rm -f "$1"/usr/lib/x86_64-linux-gnu/NetworkManager/*/libnm-{device-plugin-{adsl,bluetooth,ovs,team,wifi,wwan},wwan,ppp-plugin}.so \
        "$1"/usr/bin/nmtui*
    find "$1"/usr/lib/udev/hwdb.d -delete
}

# Makes it a machine that has been up before: nothing is left to be done at the first boot.
settle() { # TREE
    local unit
    # Known beforehand, or systemd takes every boot for the first one and applies presets.
    echo 0123456789abcdef0123456789abcdef >"$1/etc/machine-id"
    echo guest >"$1/etc/hostname"
    install -d "$1/var/log/journal" "$1/var/lib/dbus"
    ln -sf /etc/machine-id "$1/var/lib/dbus/machine-id"
    # Chores of a real machine that would take a test's processor.
    for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
        fstrim.timer systemd-hwdb-update.service systemd-pstore.service getty@tty1.service serial-getty@ttyS0.service \
        systemd-journal-catalog-update.service systemd-networkd-wait-online.service; do
        ln -sf /dev/null "$1/etc/systemd/system/$unit"
    done
    # A case that wants it starts it. Its rule forks three programs for every interface that comes.
    for unit in NetworkManager NetworkManager-dispatcher NetworkManager-wait-online; do
        systemctl --quiet --root="$1" disable "$unit.service" >&2
    done
    ln -sf /dev/null "$1/etc/udev/rules.d/84-nm-drivers.rules"
    for unit in chrony ptp4l@ phc2sys@ timemaster systemd-timesyncd ntpsec; do
        systemctl --quiet --root="$1" disable "$unit.service" >&2
    done
    # A person without any rights.
    chroot "$1" useradd --no-create-home --shell /bin/sh visitor
    touch "$1/etc/.updated" "$1/var/.updated" "$1/usr"
}

if [[ ${1-} == --check ]]; then
    lacking
    exit
fi
if [[ ! -e $root/kver ]]; then
    why=$(lacking)
    [[ ! $why ]] || fail "no root for test guests" "$why" "make setup"
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
    # Somebody may have made it meanwhile.
    if [[ ! -e $root/kver ]]; then
        # Those of runs that were killed: nobody else builds while the lock is held.
        rm -rf "$cache"/.building-*
        work=$(mktemp -d "$cache/.building-XXXXXX")
        trap 'rm -rf "$work"' EXIT
        chmod 0755 "$work"
        start=$SECONDS
        build "$work"
        mv -T "$work" "$root"
        echo "guest root built in $((SECONDS - start)) s" >&2
        # shellcheck disable=SC2012 # the names are ours
        ls -td "$cache"/root-* | tail -n +$((KEEP + 1)) | xargs -r rm -rf
    fi
fi
touch "$root"
echo "$root"
