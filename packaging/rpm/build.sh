#!/bin/bash
# Builds the packages from the tracked files as they are here, without a network, into $TARGET/rpm:
#
#   build.sh TARGET [BIN_DIR]   BIN_DIR: package the onloadd and onloadctl there, and build nothing
#
# RPM_RELEASE sets the release (1 unless set): the same version with a higher one is an upgrade. RPM_FLAGS are more
# words for rpmbuild, such as `--with policy`. What was built is told on standard output, a path a line.
set -euo pipefail

fail() { # WHAT WHY FIX
    printf 'error: %s\n  why: %s\n  fix: %s\n' "$1" "$2" "$3" >&2
    exit 1
}
not_built="no package was built"

target=$(realpath -m "$1")
bin_dir=${2:+$(realpath "$2")}
cd "$(dirname "$0")/../.."
command -v rpmbuild >/dev/null ||
    fail "$not_built" "rpmbuild is missing" "install rpm-build (Fedora family) or rpm (Debian family)"

version=$(sed -n '/^\[workspace.package\]/,/^\[/ s/^version = "\(.*\)"/\1/p' Cargo.toml)
release=${RPM_RELEASE:-1}
[[ $release =~ ^[0-9][0-9A-Za-z.~]*$ ]] ||
    fail "$not_built" "RPM_RELEASE=$release is no release" "use a number, such as 2"
top=$target/rpm
name=onloadd-$version
mkdir -p "$top/SOURCES"

# The source: what git tracks, as it is in the working tree; all there is where this is no clone.
if [[ -e .git ]]; then
    files=$(mktemp)
    trap 'rm -f "$files"' EXIT
    # What is deleted and not yet committed is not there to be packed.
    git ls-files -z | while IFS= read -r -d '' file; do
        [[ ! -e $file && ! -L $file ]] || printf '%s\0' "$file"
    done >"$files"
    # Crates that were vendored are not tracked, and the source is to be built anew elsewhere.
    [[ ! -d vendor ]] || find vendor -type f -print0 >>"$files"
    list=(--null --no-recursion -T "$files")
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
else
    list=(--exclude=./target .)
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(stat -c %Y Cargo.lock)}
fi
export SOURCE_DATE_EPOCH
# In one file until it is whole: two builds beside each other take either.
draft=$(mktemp "$top/SOURCES/.XXXXXX")
tar --transform "s|^\(\./\)\?|$name/|S" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
    -c "${list[@]}" | gzip -n -1 >"$draft"
chmod 0644 "$draft"
mv "$draft" "$top/SOURCES/$name.tar.gz"

# Not the caller's target directory: paths of the source differ, and so everything would be built anew there each time.
export CARGO_TARGET_DIR=$top/target
read -ra flags <<<"${RPM_FLAGS:-}"
[[ -z $bin_dir ]] || flags+=(--define "onloadd_bin_dir $bin_dir")
log=$top/build.log
# Needs are looked for by rpm in its own database, of which a Debian machine has none.
rpm -q rpm >/dev/null 2>&1 || flags+=(--nodeps)
# Under `make` those would make `make install` in the package a part of that run.
if ! env -u MAKEFLAGS -u MAKELEVEL -u DESTDIR -u PREFIX -u BIN_DIR rpmbuild -ba "${flags[@]}" \
    --define "_topdir $top" --define "onloadd_version $version" --define "onloadd_release $release" \
    packaging/rpm/onloadd.spec >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    fail "$not_built" "rpmbuild failed; the end of what it said is above" "read all of it in $log"
fi
sed -n 's/^Wrote: //p' "$log"
