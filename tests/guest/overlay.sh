#!/bin/bash
# overlay.sh ROOT BIN_DIR OUT [bare]: packs what lies over the Debian root ROOT (as root.sh prints it) into OUT, an
# archive to be put behind ROOT/root.cpio: the project as `make install` puts it on a machine, from the binaries
# in BIN_DIR; the agent; and the kernel modules of tests/kernel, which are built once for what they are made from.
# A bare node has neither project nor product, and can fetch both (see registry.sh).
set -euo pipefail
cd "$(dirname "$0")/../.."
# Where Debian keeps an administrator's tools, which are not on everybody's path.
PATH=$PATH:/usr/sbin:/sbin
umask 022
# Builds of other inputs that stay, as in root.sh.
KEEP=3

root=$1 binaries=$2 out=$3 kind=${4-installed}
# Of the releases, the one that a bare node finds in the image it fetches.
FETCHED=9.2.1
kver=$(<"$root/kver")
cache=$(dirname "$root")
# Beside OUT, which is below the same cache: what is built is moved there.
work=$(mktemp -d "$(dirname "$out")/overlay-XXXXXX")
trap 'rm -rf "$work"' EXIT
stage=$work/stage
mkdir -p "$stage"/{usr/{bin,sbin,lib,lib64},opt} "$work/bin"
# As in the root, or a directory /lib in the archive would take the place of the link.
for name in bin sbin lib lib64; do ln -s "usr/$name" "$stage/$name"; done
lay() { tar -C "$1" -c . | tar -C "$2" -x --no-same-owner --keep-directory-symlink --no-overwrite-dir; }

lay tests/guest/files "$stage"
# A tenth of the size, for a processor that unpacks it slowly.
for name in onloadd onloadctl guest-agent sfptpd; do
    strip --strip-debug -o "$work/bin/$name" "$binaries/$name"
done
enabled=(guest-agent.service)
if [[ $kind != bare ]]; then
    # Under `make test` those would make this a part of that run.
    env -u MAKEFLAGS -u MAKELEVEL -u PREFIX make --silent install "DESTDIR=$stage" "BIN_DIR=$work/bin" >&2
    enabled+=(onloadd.service)
fi
install -D -m 0755 "$work/bin/guest-agent" "$stage/usr/lib/guest/agent"
# A package that a case installs: the stand-in for sfptpd, with what surrounds the real one.
cp -r tests/guest/sfptpd "$stage/opt/sfptpd"
install -D -m 0755 "$work/bin/sfptpd" "$stage/opt/sfptpd/usr/sbin/sfptpd"
systemctl --quiet --root="$stage" enable "${enabled[@]}" >&2

# The modules, below the name of what they were made from; a lock, so that two runs do not make them at once.
modules() {
    local key made
    key=$( (echo "$kver"; find tests/kernel -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -c 1-16)
    made=$cache/modules-$key
    if [[ ! -e $made ]]; then
        exec 9>"$cache/modules.lock"
        flock 9
        if [[ ! -e $made ]]; then
            mkdir "$work/modules"
            tests/kernel/build.sh "$work/modules" "$kver" >&2
            rm -rf "$work/modules"/.[!.]*
            mv -T "$work/modules" "$made"
            # shellcheck disable=SC2012 # the names are ours
            ls -td "$cache"/modules-*/ | tail -n +$((KEEP + 1)) | xargs -r rm -rf
        fi
        exec 9>&-
    fi
    echo "$made"
}
if [[ -d tests/kernel ]]; then
    made=$(modules)
    tree=$work/tree
    mkdir -p "$tree"
    (cd "$tree" && cpio --quiet -idm 'usr/lib/modules/*' <"$root/root.cpio")
    ln -s usr/lib "$tree/lib"
    # The in-tree one takes the place of the distribution's; the host's own are added.
    install -D -m 0644 "$made/in-tree/sfc.ko" "$stage/usr/lib/modules/$kver/kernel/drivers/net/ethernet/sfc/sfc.ko"
    if [[ $kind == bare ]]; then
        tests/guest/registry.sh "$root" "$work/bin" "$made/releases/$FETCHED" "$stage"
    else
        [[ ! -d $made/host ]] || lay "$made/host" "$stage"
        [[ ! -d $made/releases ]] || { mkdir "$stage/opt/releases" && lay "$made/releases" "$stage/opt/releases"; }
        [[ ! -d $made/kmm ]] || { mkdir "$stage/opt/kmm" && lay "$made/kmm" "$stage/opt/kmm"; }
    fi
    install -D -m 0644 "$made/card/onloadd_card.ko" "$stage/opt/card/onloadd_card.ko"
    lay "$stage/usr/lib/modules" "$tree/usr/lib/modules"
    depmod -b "$tree" "$kver"
    cp "$tree/usr/lib/modules/$kver"/modules.* "$stage/usr/lib/modules/$kver/"
fi
tests/guest/pack.sh "$stage" "$out"
