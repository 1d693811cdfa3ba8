#!/bin/bash
# registry.sh ROOT BIN_DIR RELEASE STAGE: gives a node that knows nothing of the project what it needs to fetch it:
# podman as it is installed here, which is the same Debian as in ROOT, and a registry, which has an image of the
# programs in BIN_DIR and of RELEASE, a directory, under whose name it is. The image is what
# packaging/rhcos/Containerfile.pull makes, and lies as a registry gives it out: a manifest, and blobs by digest.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/sbin:/sbin
umask 022

root=$1 binaries=$2 release=$3 stage=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What runs containers is looked for by podman before it does anything.
runtime=$(command -v crun || command -v runc)
for program in podman conmon "$runtime"; do
    program=$(command -v "$program")
    install -D -m 0755 "$program" "$stage/usr/bin/${program##*/}"
    ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }'
done | sort -u >"$work/libraries"
cpio --quiet -t <"$root/root.cpio" >"$work/there"
while read -r library; do
    to=usr/lib/x86_64-linux-gnu/${library##*/}
    grep -qx "$to" "$work/there" || install -D -m 0755 "$library" "$stage/$to"
done <"$work/libraries"
for file in /etc/containers/policy.json /usr/share/containers/{containers.conf,seccomp.json}; do
    install -D -m 0644 "$file" "$stage$file"
done

# For an image of any name below registry.example.
cat >"$stage/etc/containers/registries.conf" <<END
[[registry]]
prefix = "registry.example"
location = "127.0.0.1:5000"
insecure = true
END
install -D -m 0644 -t "$stage/etc/systemd/system" tests/guest/registry/registry{.socket,@.service}
systemctl --quiet --root="$stage" enable registry.socket >&2
install -D -m 0755 -t "$stage/usr/lib/guest" tests/guest/registry/registry

registry=$stage/opt/registry
install -d "$registry"/{manifests,blobs}
# Moves a file to its digest; prints what a manifest says of it.
blob() { # FILE TYPE
    local digest size
    digest=$(sha256sum "$1" | cut -d ' ' -f 1) size=$(stat -c %s "$1")
    mv "$1" "$registry/blobs/sha256:$digest"
    echo "{\"mediaType\":\"application/vnd.oci.image.$2\",\"digest\":\"sha256:$digest\",\"size\":$size}"
}
image=$work/image
mkdir "$image"
cp -a "$release/." "$image/"
mkdir -p "$image"/usr/{sbin,bin}
# As what ships is: an emulated processor takes its time over checksums.
strip -o "$image/usr/sbin/onloadd" "$binaries/onloadd"
strip -o "$image/usr/bin/onloadctl" "$binaries/onloadctl"
tar -C "$image" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$work/layer.tar" .
diff=$(sha256sum "$work/layer.tar" | cut -d ' ' -f 1)
gzip -1 -n "$work/layer.tar"
cat >"$work/config" <<END
{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:$diff"]}}
END
layer=$(blob "$work/layer.tar.gz" layer.v1.tar+gzip)
config=$(blob "$work/config" config.v1+json)
cat >"$registry/manifests/${release##*/}" <<END
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":$config,"layers":[$layer]}
END
