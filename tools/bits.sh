#!/bin/sh
# Compilers and their levels of optimisation: the same bits from every build.
#
#   tools/bits.sh [LEVEL...]     what `make bits` runs, from the root of the tree
#
# Builds the program with gcc and clang, as far as they are here, at -O1, -O2 and -O3 (or
# at the levels named), and once for the processor at hand with everything it has; trains
# every model for two epochs with each; compares weights and every figure of metrics.jsonl
# with those of the first build.  Then asks for flags that would change bits, which the
# Makefile must refuse.  One line per build; status 1 when something differs.
set -u
. tools/runs.sh

[ $# -gt 0 ] || set -- -O1 -O2 -O3
dir=build/bits
images=64                       # sixteen steps an epoch

# A make of its own: the flags are the subject here.
unset MAKEFLAGS MFLAGS MAKELEVEL SAN CC LD AR CFLAGS CPPFLAGS LDFLAGS
make=${MAKE:-make}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
run_colours
differ=0 first='' all=''

# line BUILD WORDS COLOUR
line()
{
    printf '%-26s  %s%s%s\n' "$1" "$3" "$2" "$plain"
}

# build COMPILER FLAGS: builds, trains, compares
build()
{
    name=$(echo "$1$2" | tr -d ' =')        # make would take = for an assignment
    to=$dir/$name
    mkdir -p "$to"
    if ! $make CC="$1" CFLAGS="$2" B="$to" BIN="$to/fullrank" "$to/fullrank" \
        >"$to/log" 2>&1; then
        tail -n 20 "$to/log"
        line "$1 $2" "DOES NOT BUILD" "$bad"
        differ=1
        return
    fi
    said=''
    [ -n "$all" ] || all=$(models "$to/fullrank")
    for m in $all; do
        run_config "$m" $images >"$tmp/$m.yaml"
        OMP_WAIT_POLICY=passive "$to/fullrank" train "$tmp/$m.yaml" \
            out="$tmp/$name/$m" --quiet || { said="$m ended with status $?"; continue; }
        [ -z "$first" ] && continue
        what=$(run_compare "$tmp/$first/$m" "$tmp/$name/$m") || said="$said$m: $what
"
    done
    if [ -n "$said" ]; then
        differ=1
        line "$1 $2" "$said" "$bad"
    elif [ -z "$first" ]; then
        first=$name
        # shellcheck disable=SC2086
        line "$1 $2" "the others must be like this:$(printf ' %s' $all)" ""
    else
        line "$1 $2" "same weights, same figures" "$good"
    fi
}

for cc in gcc clang; do
    if ! lacks=$(CC=$cc tools/deps.sh tell 2>&1); then
        line "$cc" "skipped: $lacks" ""
        continue
    fi
    for level in "$@"; do
        build $cc "$level"
    done
    build $cc "-O2 -march=native"
done
[ -n "$first" ] || { echo "bits: no compiler to try" >&2; exit 1; }

for flag in -Ofast -ffast-math -funsafe-math-optimizations -ffp-contract=fast \
    -fassociative-math -freciprocal-math -ffinite-math-only -fno-signed-zeros -m32; do
    case $($make -n CFLAGS="-O2 $flag" all 2>&1) in
        *"$flag would change the bits"*) ;;
        *)  differ=1
            line "$flag" "NOT REFUSED" "$bad" ;;
    esac
done
[ $differ -ne 0 ] || line "-ffast-math and its kin" "refused by the Makefile" "$good"
exit $differ
