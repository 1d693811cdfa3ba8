#!/bin/sh
# pack.sh DIRECTORY OUT: packs a directory as an initramfs whose files are root's.
set -eu
out=$(realpath "$2")
cd "$1"
# Not the directory itself: its mode would become that of /.
find . -mindepth 1 -print0 | sort -z | cpio --null --quiet --create --format=newc --owner=+0:+0 >"$out"
