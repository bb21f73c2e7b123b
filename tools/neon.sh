#!/bin/sh
# The program on another instruction set: built for aarch64, run under qemu-user, compared
# with the native program to the bit.
#
#   tools/neon.sh      what `make neon` runs, from the root of the tree, after a build
#
# Every model trains two epochs on a handful of generated images with every random
# augmentation.  The weights and every figure of metrics.jsonl must be the native ones,
# with the table `neon` and, for the smallest model, with `ref`.  Before that the tests of
# the tables and of the elementary functions run on the emulated processor.  One line
# each; status 1 when something differs.
set -u
. tools/runs.sh

cross=aarch64-linux-gnu
build=build/aarch64
root=$build/root/usr
native=${FULLRANK_BIN:-./fullrank}
images=16                       # four steps an epoch; the emulator is slow

if [ "$(uname -m)" = aarch64 ]; then
    echo "neon: this is aarch64; \`make check\` compares the tables here"
    exit 0
fi
tools/deps.sh tell neon || exit 1

# A make of its own: flags meant for the native build are not this one's.
unset MAKEFLAGS MFLAGS MAKELEVEL SAN CC LD AR CFLAGS CPPFLAGS LDFLAGS
${MAKE:-make} ARCH=aarch64 CC=$cross-gcc LD=$cross-ld AR=$cross-ar B=$build \
    BIN=$build/fullrank CPPFLAGS="-I$root/include -I$root/include/$cross" \
    LDFLAGS="-L$root/lib/$cross" $build/fullrank $build/check >$build/log 2>&1 || {
    tail -n 20 $build/log
    exit 1
}

# The emulator keeps account of every page of an address range.  An arena reserves 256 GiB
# where it may, so it is told that there are 4.  The program's second start, with less
# spinning, is left out: /proc/self/exe is the emulator.
emulated()
{
    OMP_WAIT_POLICY=passive qemu-aarch64 -R 4G -L /usr/$cross "$@"
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
run_colours
differ=0

# tests SUITE CASE WHAT
tests()
{
    CK_RUN_SUITE=$1 CK_RUN_CASE=$2 CK_DEFAULT_TIMEOUT=300 FULLRANK_BIN=$native \
        emulated $build/check >"$tmp/log" 2>&1
    status=$?
    sum=$(grep -o 'Checks: .*' "$tmp/log")
    if [ $status -eq 0 ]; then
        printf '%-9s  aarch64 tests  %s%s%s  %s\n' "$1" "$good" "$sum" "$plain" "$3"
    else
        differ=1
        printf '%-9s  aarch64 tests  %sFAILED%s  %s\n' "$1" "$bad" "$plain" "$3"
        cat "$tmp/log"
    fi
}

# compare MODEL TABLE: the native run of the model is there already
compare()
{
    FULLRANK_KERN=$2 emulated $build/fullrank train "$tmp/$1.yaml" --quiet \
        out="$tmp/$1-$2"
    if said=$(run_compare "$tmp/$1" "$tmp/$1-$2"); then
        said="${good}same weights, same figures$plain"
    else
        differ=1
        said="$bad$said$plain"
    fi
    printf '%-9s  aarch64 %-5s  %.16s...  %s\n' "$1" "$2" "$(run_hash "$tmp/$1")" "$said"
}

tests kern tables "every function of the table follows the plan"
tests wino tables "Winograd's tiles, byte for byte against ref"
tests kern curves "exp, log, tanh: stated error, bytes of ref"
tests elem elem "double precision: stated error, known bits"
for m in $(models "$native"); do
    run_config "$m" $images >"$tmp/$m.yaml"
    "$native" train "$tmp/$m.yaml" out="$tmp/$m" --quiet || exit 1
    compare "$m" neon
    [ "$m" != mlp ] || compare "$m" ref
done
exit $differ
