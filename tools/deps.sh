#!/bin/sh
# What the build stands on: finds out what is missing, and installs it where it can.
#
#   tools/deps.sh tell     one line for what is missing; status 1 if something is
#   tools/deps.sh deps     installs what the build, the tests and the demo need
#   tools/deps.sh check    installs what the build and the tests need
#   tools/deps.sh demo     installs what the build and the demo need
#   tools/deps.sh neon     installs what the build and `make neon` need
#   tools/deps.sh tell neon     one line for what `make neon` misses
#
# Missing means: the compiler does not find the header, or the file or command is not
# there.  So a library that came from somewhere else than a Debian package counts.
# CC names the compiler, as in the Makefile.
set -u
what=${1:-tell}
neon=
[ "$what" != neon ] && [ "${2:-}" != neon ] || neon=1
CC=${CC:-cc}
cd "$(dirname "$0")/.." || exit 1
chart=/usr/share/javascript/chart.js/chart.min.js
fashion=/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz

headers='
libc6-dev      stdio.h
zlib1g-dev     zlib.h
libyaml-dev    yaml.h
libjansson-dev jansson.h
libmd-dev      sha256.h
libstb-dev     stb/stb_image.h
'
if [ "$what" = check ] || [ "$what" = deps ]; then
    headers="$headers
check          check.h"
fi

has_headers()
{
    # shellcheck disable=SC2086
    for h in "$@"; do echo "#include <$h>"; done |
        $CC ${CPPFLAGS:-} -E -x c - >/dev/null 2>&1
}

compiler=${CC%% *}
case ${compiler##*/} in
    cc|gcc|c99) package=gcc openmp=gcc ;;
    clang)      package=clang openmp=libomp-dev ;;
    clang-*)    package=${compiler##*/} openmp=libomp-${compiler##*clang-}-dev ;;
    *-linux-gnu-gcc) package=gcc-${compiler##*/} openmp=gcc-${compiler##*/}
                package=${package%-gcc} openmp=${openmp%-gcc} ;;
    *)          package=${compiler##*/} openmp=$package ;;
esac

# Prints the packages that are missing, one a line.
missing()
{
    if ! command -v "$compiler" >/dev/null; then
        echo "$package"
        [ "$openmp" = "$package" ] || echo "$openmp"
    fi
    # the usual case, all there, costs one run of the preprocessor
    # shellcheck disable=SC2046
    if ! has_headers omp.h $(echo "$headers" | awk '{ print $2 }'); then
        echo "$headers" | while read -r p h; do
            [ -z "$p" ] || has_headers "$h" || echo "$p"
        done
        command -v "$compiler" >/dev/null && { has_headers omp.h || echo "$openmp"; }
    fi
    [ -e "$chart" ] || echo libjs-chart.js
    if [ -n "$neon" ]; then
        command -v aarch64-linux-gnu-gcc >/dev/null || echo gcc-aarch64-linux-gnu
        [ -e /usr/aarch64-linux-gnu/include/stdio.h ] || echo libc6-dev-arm64-cross
        command -v qemu-aarch64 >/dev/null || echo qemu-user
    fi
}

# The target's libraries.  Installing them beside the machine's own (multiarch) would pull
# its packages to other versions, so they are unpacked into a folder of the build: a few
# archives of code and their headers, no root needed.
arm_packages="zlib1g-dev libyaml-dev libjansson-dev libmd-dev libstb-dev check"
arm_packages="$arm_packages libsubunit-dev"
arm=build/aarch64/root
arm_lib=$arm/usr/lib/aarch64-linux-gnu

has_arm_libs()
{
    echo 'int main(void) { return 0; }' | aarch64-linux-gnu-gcc -x c - -o /dev/null \
        -I$arm/usr/include -I$arm/usr/include/aarch64-linux-gnu -L$arm_lib \
        -include zlib.h -include yaml.h -include jansson.h -include sha256.h \
        -include stb/stb_image.h -include check.h -lcheck -lsubunit -lz -lyaml \
        -ljansson -lmd -lm 2>/dev/null
}

# An apt of its own: other lists, other architecture, nothing of the system touched.
fetch_arm_libs()
{
    here=$PWD/build/aarch64/apt
    mkdir -p "$here/state/lists/partial" "$here/cache/archives/partial" $arm
    set -- -q -o "Dir::State=$here/state" -o Dir::State::status=/dev/null \
        -o "Dir::Cache=$here/cache" -o APT::Architecture=arm64 \
        -o APT::Architectures=arm64 -o APT::Sandbox::User=
    apt-get "$@" update >>"$log" 2>&1
    # shellcheck disable=SC2086
    (cd "$here" && apt-get "$@" download $arm_packages) >>"$log" 2>&1 || return 1
    for f in "$here"/*_arm64.deb; do
        dpkg-deb -x "$f" $arm || return 1
    done
    rm -rf "$here"
    rm -f $arm_lib/*.so         # links to what was not unpacked: the archives are meant
}

lacking=$(missing | tr '\n' ' ')
lacking=${lacking% }
how="apt-get install --no-install-recommends"

if [ "$what" = tell ]; then
    if [ -n "$neon" ] && { [ -n "$lacking" ] || ! has_arm_libs; }; then
        echo "missing: ${lacking:+$lacking, and }the arm64 libraries $arm_packages" \
            "(\`tools/deps.sh neon\` gets them; the libraries go into $arm)" >&2
        exit 1
    fi
    [ -z "$lacking" ] && exit 0
    echo "missing: $lacking (\`make deps\` installs them, or: $how $lacking)" >&2
    exit 1
fi

# Welcome, not required: without Fashion-MNIST the demo trains on generated shapes, and
# without SIMDe a processor that has no AVX-512 leaves those kernels unchecked.
optional=
[ -e "$fashion" ] || [ "$what" = neon ] || optional=dataset-fashion-mnist
if [ "$what" != demo ] && [ "$what" != neon ] && ! has_headers simde/simde-common.h; then
    optional="$optional libsimde-dev"
fi
[ -z "$lacking$optional$neon" ] && exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The lists are fetched when there are none, or when the newest is older than a day.
refresh()
{
    new=$(find /var/lib/apt/lists -name '*Packages*' -mtime -1 2>/dev/null | head -n 1)
    [ -n "$new" ] || apt update
}

# The lock of another apt is waited for; questions are never asked.
apt()
{
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1
}

# An old list can name a version that the mirror no longer has: one more try after an
# update.
fetch()
{
    echo "installing: $*"
    apt install --no-install-recommends "$@" ||
        { apt update && apt install --no-install-recommends "$@"; }
}

can_install()
{
    if ! command -v apt-get >/dev/null; then
        why="there is no apt-get here; the names are those of Debian"
    elif [ -n "$as_root" ] && ! command -v sudo >/dev/null; then
        why="installing takes root, and there is no sudo here"
    elif [ -n "$as_root" ] && ! sudo -n true 2>/dev/null && [ ! -t 0 ]; then
        why="sudo wants a password, and there is no terminal to ask on"
    else
        refresh || true         # without a network the lists at hand may still do
        return 0
    fi
    return 1
}

why=
if can_install && [ -n "$lacking" ]; then
    # shellcheck disable=SC2086
    fetch $lacking || { tail -n 5 "$log" >&2; why="apt-get failed, see above"; }
fi
lacking=$(missing | tr '\n' ' ')
lacking=${lacking% }
if [ -n "$lacking" ]; then
    echo "missing: $lacking" >&2
    echo "not installed: $why" >&2
    echo "to go on, run as root: $how $lacking" >&2
    exit 1
fi

if [ -n "$neon" ] && ! has_arm_libs; then
    echo "fetching for arm64: $arm_packages"
    if ! command -v apt-get >/dev/null; then
        echo "not fetched: there is no apt-get here; unpack them (or build them) into" \
            "$arm" >&2
        exit 1
    fi
    if ! fetch_arm_libs || ! has_arm_libs; then
        tail -n 5 "$log" >&2
        echo "not fetched: does the mirror in your apt sources have arm64?" >&2
        exit 1
    fi
fi

for p in $optional; do
    if [ -n "$why" ] || ! fetch "$p"; then
        echo "$p is not to be had (${why:-apt-get failed}); going on without it"
    fi
done
exit 0
